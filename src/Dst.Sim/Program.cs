using Dst.Sim;

return CommandLine.Run(args);
