namespace Dst.Simulation.Engine;

/// <summary>
/// What events happen to: a thread of a simulated process, or a thing of the outer world (a pipe, a disk, an operator).
/// </summary>
internal abstract class Actor(World world, SimProcess? process)
{
    /// <summary>The world it lives in.</summary>
    public World World { get; } = world;

    /// <summary>The process whose thread it is; null for the outer world, which never dies.</summary>
    public SimProcess? Process { get; } = process;

    /// <summary>Number in the trace, by order of making.</summary>
    public int Id { get; } = world.NextActorId();

    /// <summary>An event.</summary>
    public abstract void On(int kind, long a, long b);

    /// <summary>The event for people.</summary>
    public abstract string Describe(int kind, long a, long b);

    /// <summary>Posts an event to this actor.</summary>
    protected void Post(long afterUs, int kind, long a = 0, long b = 0) => World.Post(this, afterUs, kind, a, b);
}

/// <summary>One life of a process. A new start is a new object.</summary>
internal sealed class SimProcess(string name)
{
    /// <summary>For people.</summary>
    public string Name { get; } = name;

    /// <summary>False once it was killed or has ended.</summary>
    public bool Alive { get; set; } = true;

    /// <summary>Stopped until then (SIGSTOP, a paused machine).</summary>
    public long PausedUntilUs { get; set; }
}
