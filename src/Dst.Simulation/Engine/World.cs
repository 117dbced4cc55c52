using System.Globalization;
using System.Runtime.CompilerServices;
using Dst.Core;
using Dst.Simulation.Checks;
using Dst.Simulation.Plans;

namespace Dst.Simulation.Engine;

/// <summary>A rule was broken: what, and where in the run.</summary>
internal sealed class ViolationException(string message) : Exception(message);

/// <summary>
/// Virtual time, the events of a run and the chance that orders them. One thread; nothing here asks a clock, a file or
/// the machine, so a seed gives the same run everywhere.
/// </summary>
internal sealed class World : IStepClock
{
    private const ulong Prime = 0x9E3779B97F4A7C15;

    private readonly EventQueue _queue = new();
    private readonly Chance _order;
    private readonly Chance _effects;
    private Actor? _stopped;
    private ulong _posted;
    private int _actors;
    private int _nested;

    /// <summary>An empty world.</summary>
    public World(ulong seed, Plan plan)
    {
        Seed = seed;
        Plan = plan;
        _order = new Chance(seed, 1);
        _effects = new Chance(seed, 2);
        Chance = new Chance(seed, 3);
        Coverage = new Coverage();
    }

    /// <summary>Of the run.</summary>
    public ulong Seed { get; }

    /// <summary>Of the run.</summary>
    public Plan Plan { get; }

    /// <summary>Chance of all that has no stream of its own.</summary>
    public Chance Chance { get; }

    /// <summary>State and event pairs that were met.</summary>
    public Coverage Coverage { get; }

    /// <summary>Virtual microseconds.</summary>
    public long NowUs { get; private set; }

    /// <summary>Events so far; also the logical time of the checks.</summary>
    public long Steps { get; private set; }

    /// <summary>Faults come until this is false.</summary>
    public bool HasFaults { get; set; } = true;

    /// <summary>Devices made from now on get no requests of their own.</summary>
    public bool IsEnding { get; set; }

    /// <summary>Hash of everything that happened.</summary>
    public ulong TraceHash { get; private set; } = Prime;

    /// <summary>Takes the readable trace, or null.</summary>
    public Action<string>? Tracer { get; set; }

    /// <summary>Numbers actors.</summary>
    public int NextActorId() => ++_actors;

    /// <summary>Posts an event.</summary>
    public void Post(Actor target, long afterUs, int kind, long a = 0, long b = 0)
    {
        ulong order = (_order.Next() & 0xFFFF_FF00_0000_0000) | (++_posted & 0xFF_FFFF_FFFF);
        _queue.Add(new SimEvent
        {
            AtUs = NowUs + afterUs,
            Order = order,
            Target = target,
            Kind = kind,
            A = a,
            B = b,
        });
    }

    /// <summary>Microseconds from one thread to another.</summary>
    public long HopUs()
    {
        long us = _order.Below(16);
        long slowMs = Plan.MeanMs[(int)Fault.SlowHop];
        if (HasFaults && slowMs > 0 && _order.OneIn((int)long.Clamp(slowMs / 125, 8, 1_024)))
        {
            us += _order.Below(_order.OneIn(8) ? 400_000 : 4_000);
        }

        return us;
    }

    /// <summary>True when a process is to be killed before its next effect.</summary>
    public bool MaybeCrash() =>
        HasFaults
        && Plan.Has(Fault.CrashAtEffect)
        && _effects.PerMillion((int)(4_000_000 / Plan.MeanMs[(int)Fault.CrashAtEffect]));

    /// <summary>What a scenario does next comes after what has happened.</summary>
    public void Advance() => Steps++;

    /// <summary>Runs the next event.</summary>
    /// <returns>False when there is none.</returns>
    public bool Step()
    {
        if (_queue.Count == 0)
        {
            return false;
        }

        SimEvent item = _queue.Take();
        NowUs = item.AtUs;
        SimProcess? process = item.Target.Process;
        if (process is not null)
        {
            if (!process.Alive)
            {
                return true;
            }

            long until = item.Target == _stopped ? NowUs + 5_000 : process.PausedUntilUs;
            if (until > NowUs)
            {
                // It keeps its order number, so what it stands before stays behind it.
                item.AtUs = until;
                _queue.Add(in item);
                return true;
            }
        }

        Steps++;
        TraceHash = (TraceHash ^ ((ulong)item.AtUs + ((ulong)item.Target.Id << 40) + ((ulong)item.Kind << 56))) * Prime;
        TraceHash = (TraceHash ^ (ulong)(item.A + (item.B << 20))) * Prime;
        if (Tracer is not null)
        {
            Note($"{item.Target.Describe(item.Kind, item.A, item.B)}");
        }

        item.Target.On(item.Kind, item.A, item.B);
        return true;
    }

    /// <summary>
    /// A thread is stopped within a call and others run on: some events of all but this actor happen now (S-06).
    /// </summary>
    public void Preempt(Actor stopped)
    {
        long meanMs = Plan.MeanMs[(int)Fault.Preempt];
        if (_nested > 0 || !HasFaults || meanMs == 0 || !_effects.OneIn((int)long.Clamp(meanMs / 500, 2, 256)))
        {
            return;
        }

        RunWhileStopped(stopped, 1 + _effects.Below(_effects.OneIn(4) ? 1_000 : 60));
    }

    /// <summary>The same, always.</summary>
    public void RunWhileStopped(Actor stopped, int events)
    {
        _nested++;
        _stopped = stopped;
        for (int i = 0; i < events && Step(); i++)
        {
        }

        _stopped = null;
        _nested--;
    }

    /// <summary>Adds to the hash what an event did, so that runs are compared by their contents, too.</summary>
    public void Mark(ulong value) => TraceHash = (TraceHash ^ value) * Prime;

    /// <summary>A line of the readable trace; costs nothing while nobody reads it.</summary>
    public void Note([InterpolatedStringHandlerArgument("")] ref TraceText text)
    {
        if (Tracer is { } tracer)
        {
            long seconds = NowUs / 1_000_000;
            long us = NowUs % 1_000_000;
            tracer(string.Create(CultureInfo.InvariantCulture, $"{seconds,5}.{us:000000} #{Steps,-7} ") + text.Take());
        }
    }

    /// <summary>A rule has to hold, or the run ends; what is wrong is put together only then.</summary>
    public static void Check(bool holds, [InterpolatedStringHandlerArgument(nameof(holds))] ref MustMessage message)
    {
        if (!holds)
        {
            Fail(message.ToStringAndClear());
        }
    }

    /// <summary>A rule has to hold, or the run ends.</summary>
    public static void Check(bool holds, string message)
    {
        if (!holds)
        {
            Fail(message);
        }
    }

    /// <summary>A rule does not hold: the run ends.</summary>
    [System.Diagnostics.CodeAnalysis.DoesNotReturn]
    public static void Fail(string message) => throw new ViolationException(message);
}

/// <summary>Puts a line of the trace together only when somebody reads it.</summary>
[InterpolatedStringHandler]
internal ref struct TraceText
{
    private DefaultInterpolatedStringHandler _handler;

    /// <summary>Called by the compiler.</summary>
    public TraceText(int literalLength, int formattedCount, World world, out bool needed)
    {
        needed = world.Tracer is not null;
        _handler = needed
            ? new DefaultInterpolatedStringHandler(literalLength, formattedCount, CultureInfo.InvariantCulture)
            : default;
    }

    /// <summary>Called by the compiler.</summary>
    public void AppendLiteral(string value) => _handler.AppendLiteral(value);

    /// <summary>Called by the compiler.</summary>
    public void AppendFormatted<T>(T value) => _handler.AppendFormatted(value);

    /// <summary>Called by the compiler.</summary>
    public void AppendFormatted<T>(T value, string? format) => _handler.AppendFormatted(value, format);

    /// <summary>The line.</summary>
    public string Take() => _handler.ToStringAndClear();
}
