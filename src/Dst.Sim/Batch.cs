using System.Diagnostics;
using System.Globalization;
using Dst.Simulation;
using Dst.Simulation.Checks;
using Dst.Simulation.Plans;

namespace Dst.Sim;

/// <summary>Many seeds on some threads.</summary>
internal sealed class Batch(Func<ulong, Plan> plans, bool trace)
{
    private readonly Lock _gate = new();
    private ulong _next;
    private ulong _to;
    private long _runs;
    private long _steps;
    private long _virtualUs;
    private long _requests;
    private long _verified;
    private Stopwatch _watch = new();
    private TimeSpan _cpuAtStart;
    private long _saidMs;
    private string _span = "";

    /// <summary>Pairs that any seed met.</summary>
    public Coverage Coverage { get; } = new();

    /// <summary>Seeds that broke a rule, by number.</summary>
    public List<RunResult> Failed { get; } = [];

    /// <summary>The last line; steps/s is in CPU time, so that a busy machine changes it little.</summary>
    public string Summary
    {
        get
        {
            double cpuS = double.Max(0.001, (Environment.CpuUsage.TotalTime - _cpuAtStart).TotalSeconds);
            string hours = (_virtualUs / 3_600_000_000.0).ToString("0.0", CultureInfo.InvariantCulture);
            string cpu = cpuS.ToString("0.000", CultureInfo.InvariantCulture);
            return $"seeds {_span}: {_runs - Failed.Count} passed, {Failed.Count} failed, {_verified} read to the end, "
                + $"{hours} virtual hours, {_requests} requests, {_steps} steps "
                + $"in {_watch.ElapsedMilliseconds / 1000} s, {cpu} s of CPU time, {(long)(_steps / cpuS)} steps/s";
        }
    }

    /// <summary>Runs them.</summary>
    public void Run(ulong from, ulong to, int jobs)
    {
        _next = from;
        _to = to;
        _span = $"{from}..{to}";
        _watch = Stopwatch.StartNew();
        _cpuAtStart = Environment.CpuUsage.TotalTime;
        Thread[] threads = new Thread[jobs];
        for (int i = 0; i < jobs; i++)
        {
            threads[i] = new Thread(Work) { Name = $"seeds-{i}" };
            threads[i].Start();
        }

        foreach (Thread thread in threads)
        {
            thread.Join();
        }

        Failed.Sort((left, right) => left.Seed.CompareTo(right.Seed));
    }

    private void Work()
    {
        while (true)
        {
            ulong seed;
            lock (_gate)
            {
                if (_next > _to)
                {
                    return;
                }

                seed = _next++;
            }

            RunResult result = SimulationRun.Run(seed, plans(seed), trace ? Console.WriteLine : null);
            lock (_gate)
            {
                Add(result);
            }
        }
    }

    private void Add(RunResult result)
    {
        const long EveryMs = 10_000;
        _runs++;
        _steps += result.Steps;
        _virtualUs += result.VirtualUs;
        _requests += result.Requests;
        _verified += result.Verified > 0 ? 1 : 0;
        Coverage.Add(result.Coverage);
        if (result.Violation is not null)
        {
            Failed.Add(result);
        }

        if (_watch.ElapsedMilliseconds - _saidMs > EveryMs)
        {
            _saidMs = _watch.ElapsedMilliseconds;
            Console.WriteLine(Summary);
        }
    }
}
