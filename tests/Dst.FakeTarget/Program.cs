using System.Globalization;

namespace Dst.FakeTarget;

/// <summary>
/// Stands in for dst-target where there is no ublk. Its folder (variable FAKE_DIR) steers it: a file mode-NAME holds
/// the misbehaviours of the target of that device, helper-VERB that of a helper, one word a line; sys/block/ublkbN
/// stands for the kernel device; log is what was done.
/// </summary>
internal static class Program
{
    internal static readonly string Folder = Environment.GetEnvironmentVariable("FAKE_DIR") ?? "/nonexistent";

    private static async Task<int> Main(string[] arguments)
    {
        if (arguments is ["helper", var verb, .. var operands])
        {
            return Helper(verb, string.Join(' ', operands));
        }

        if (arguments is ["--run-dir", var runOfServer, "--state-dir", _])
        {
            return await new FakeExports(runOfServer).RunAsync();
        }

        if (arguments is not ["--run-dir", var run, "--name", var name])
        {
            return 2;
        }

        if (Modes($"mode-{name}").Contains("exit-at-once"))
        {
            return 3;
        }

        return await new FakeServer(run, name).RunAsync();
    }

    internal static HashSet<string> Modes(string file)
    {
        string path = $"{Folder}/{file}";
        return File.Exists(path) ? [.. File.ReadAllLines(path)] : [];
    }

    internal static void Log(string line)
    {
        using FileStream log = new($"{Folder}/log", FileMode.Append, FileAccess.Write, FileShare.ReadWrite);
        log.Write(System.Text.Encoding.UTF8.GetBytes(line + "\n"));
    }

    internal static string Disk(int id) => string.Create(CultureInfo.InvariantCulture, $"{Folder}/sys/block/ublkb{id}");

    private static int Helper(string verb, string operand)
    {
        HashSet<string> modes = Modes($"helper-{verb}");
        Log($"helper {verb} {operand}");
        if (modes.Contains("hang"))
        {
            Thread.Sleep(Timeout.Infinite);
        }

        if (modes.Contains("busy"))
        {
            Console.Error.WriteLine("somebody has it");
            return 5;
        }

        if (modes.Contains("not-yet"))
        {
            Console.Error.WriteLine("the kernel still has it");
            return 6;
        }

        if (modes.Contains("fail"))
        {
            Console.Error.WriteLine("fsync: EIO");
            return 1;
        }

        if (verb == "hold")
        {
            Console.WriteLine("held");
            _ = Console.In.ReadToEnd();
        }
        else if (verb == "delete-device" && Directory.Exists($"{Folder}/sys/block/ublkb{operand}"))
        {
            Directory.Delete($"{Folder}/sys/block/ublkb{operand}", recursive: true);
        }

        return 0;
    }
}
