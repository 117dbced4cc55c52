using System.Diagnostics;
using Dst.Simulation;
using Dst.Simulation.Plans;

ulong from = ulong.Parse(args[0]);
ulong to = ulong.Parse(args[1]);
long ms = long.Parse(args[2]);
bool trace = args.Length > 3;
Stopwatch watch = Stopwatch.StartNew();
long steps = 0, requests = 0;
int bad = 0;
for (ulong seed = from; seed <= to; seed++)
{
    Plan plan = Plan.Of(seed);
    plan.HorizonMs = ms;
    RunResult result = SimulationRun.Run(seed, plan, trace ? Console.WriteLine : null);
    steps += result.Steps;
    requests += result.Requests;
    if (result.Violation is not null)
    {
        bad++;
        Console.WriteLine($"{seed}: step {result.Steps} at {result.VirtualUs / 1000} ms: {result.Violation}");
    }
}

Console.WriteLine($"{bad} bad, {steps} steps, {requests} requests, {watch.ElapsedMilliseconds} ms, {steps * 1000 / long.Max(1, watch.ElapsedMilliseconds)} steps/s");
