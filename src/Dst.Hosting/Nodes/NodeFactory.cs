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
/// <param name="wakeQueues">Wakes the loops of the queues.</param>
public sealed class NodeFactory(Action keeperSignal, Action wakeQueues)
{
    private readonly List<Backing> _created = [];

    /// <summary>Opens a node and what is inside it.</summary>
    /// <exception cref="ControlException">It cannot be opened; says which and why.</exception>
    public Node Open(string text, in BackingRequest request)
    {
        if (!NodeSpec.TryParse(text, out NodeSpec? spec, out string? error))
        {
            throw new ControlException(ControlErrorCode.Usage, error);
        }

        try
        {
            return Open(spec, request);
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

    private Node Open(NodeSpec spec, in BackingRequest request)
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
                return new DelayNode(delay.DelayMs, Open(delay.Inner, request));
            case ErrorNodeSpec fault:
                return new ErrorNode(fault.Rule, Open(fault.Inner, request));
            case VolatileNodeSpec volatileSpec:
                return new VolatileNode(volatileSpec.Seed, (BackingNode)Open(volatileSpec.Inner, request));
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

        return new BackingNode(kind, backing, keeperSignal, wakeQueues);
    }
}
