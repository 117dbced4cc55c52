using Dst.Control;
using Dst.Core.Specs;
using Dst.IO.Memory;
using Dst.Nodes;
using Dst.Nodes.Backings;
using Dst.Nodes.Faults;
using Dst.Nodes.Local;

namespace Dst.Hosting.Nodes;

/// <summary>Opens nodes from their specifications. Start-up only.</summary>
/// <param name="keeperSignal">Wakes the keeper of error marks.</param>
/// <param name="network">What opens network nodes; asked for with the first of them.</param>
public sealed class NodeFactory(Action keeperSignal, Func<NetworkOpening> network)
{
    private readonly List<Backing> _created = [];

    /// <summary>Opens a node and what is inside it.</summary>
    /// <param name="text">Its specification.</param>
    /// <param name="index">Its place in the map.</param>
    /// <param name="request">What must hold for it.</param>
    /// <exception cref="ControlException">It cannot be opened; says which and why.</exception>
    public Node Open(string text, int index, in BackingRequest request)
    {
        if (!NodeSpec.TryParse(text, out NodeSpec? spec, out string? error))
        {
            throw new ControlException(ControlErrorCode.Usage, error);
        }

        try
        {
            return Open(spec, index, request);
        }
        catch (BackingException e)
        {
            throw new ControlException(CodeOf(e.Kind), e.Message);
        }
        catch (NativeMemoryException e)
        {
            throw new ControlException(ControlErrorCode.Failure, e.Message);
        }
    }

    /// <summary>
    /// Removes the files that this factory created: the device they were made for does not come to be.
    /// </summary>
    public void RemoveCreated()
    {
        foreach (Backing backing in _created)
        {
            backing.UndoCreation();
        }
    }

    private static ControlErrorCode CodeOf(BackingFailure kind) => kind switch
    {
        BackingFailure.Usage => ControlErrorCode.Usage,
        BackingFailure.Busy => ControlErrorCode.Busy,
        _ => ControlErrorCode.Failure,
    };

    private Node Open(NodeSpec spec, int index, in BackingRequest request)
    {
        switch (spec)
        {
            case FileNodeSpec file:
                return Backed(file.Kind, BackingOpener.OpenFile(file, request));
            case DeviceNodeSpec disk:
                return Backed(disk.Kind, BackingOpener.OpenDisk(disk, request));
            case ZeroNodeSpec zero:
                return new MemoryNode(zero.SizeBytes, keeps: false);
            case MemoryNodeSpec memory:
                return new MemoryNode(memory.SizeBytes, keeps: true);
            case DelayNodeSpec delay:
                return new DelayNode(delay.DelayMs, Open(delay.Inner, index, request));
            case ErrorNodeSpec fault:
                return new ErrorNode(fault.Rule, Open(fault.Inner, index, request));
            case TraceNodeSpec trace:
                return new TraceNode(trace.Path, Open(trace.Inner, index, request));
            case VolatileNodeSpec volatileSpec:
                return new VolatileNode(volatileSpec.Seed, (BackingNode)Open(volatileSpec.Inner, index, request));
            case NetworkNodeSpec remote:
                return network().Open(remote, index, request);
            default:
                throw new ControlException(
                    ControlErrorCode.Usage, $"{spec.Kind}: nodes of that kind cannot be served here");
        }
    }

    private BackingNode Backed(string kind, Backing backing)
    {
        if (backing.Created)
        {
            _created.Add(backing);
        }

        return new BackingNode(kind, backing, keeperSignal);
    }
}
