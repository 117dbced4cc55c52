using Dst.Core.Requests;
using Dst.Core.Sessions;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Simulation.Clients;

namespace Dst.Simulation.Checks;

/// <summary>
/// Names of the states and events that <see cref="Coverage"/> counts; <see cref="PossiblePairs"/> says which pairs of
/// them may be met.
/// </summary>
internal static class CoverageNames
{
    /// <summary>Every pair that has a name.</summary>
    public static IReadOnlyList<(Machine Machine, int State, int Event)> Pairs { get; } =
    [
        .. from machine in Enum.GetValues<Machine>()
           let events = Events(machine)
           from state in Enumerable.Range(0, States(machine).Length)
           from happened in Enumerable.Range(0, events.Length)
           where events[happened] is not null
           select (machine, state, happened),
    ];

    /// <summary>States of a machine.</summary>
    public static string[] States(Machine machine) => machine switch
    {
        Machine.ClientNode => Enum.GetNames<ClientNodePhase>(),
        Machine.ClientLane => Enum.GetNames<LaneStage>(),
        Machine.ServerConnection => Enum.GetNames<ServerState>(),
        Machine.ExportSession => ["no session", "granted", "begun", "draining"],
        _ => Enum.GetNames<LaneAction>(),
    };

    /// <summary>Events of a machine; null where a number means nothing.</summary>
    public static string?[] Events(Machine machine)
    {
        string?[] names = new string?[40];
        switch (machine)
        {
            case Machine.ClientNode:
                names[0] = "tick";
                Put<FrameKind>(names, 0, 1);
                Put<LaneNewsKind>(names, 16, 0);
                names[23] = "RX ended";
                names[24] = "TX ended";
                names[25] = "lost";
                names[26] = "connected";
                names[27] = "connect failed";
                names[28] = "epoch noted";
                names[29] = "epoch not noted";
                names[30] = "server noted";
                names[31] = "server not noted";
                Put<NodeOrder>(names, 32, 0);
                break;
            case Machine.ClientLane:
                Put<LaneOrderKind>(names, 0, 0);
                names[12] = "replies";
                names[13] = "wake";
                Put<Operation>(names, 16, 0);
                break;
            case Machine.ServerConnection:
                Put<FrameKind>(names, 0, 1);
                names[17] = "end";
                names[18] = "malformed";
                break;
            case Machine.ExportSession:
                string[] calls =
                [
                    "attach", "join", "begin", "goodbye", "connection lost", "drained",
                    "durable", "not durable", "release", "stop", "clear error", "tick",
                ];
                calls.CopyTo(names, 0);
                break;
            default:
                Put<FrameKind>(names, 0, 1);
                names[20] = "bad body";
                names[21] = "body";
                Put<Operation>(names, 24, 0, "done ");
                Put<Operation>(names, 32, 0, "asked ");
                break;
        }

        return names;
    }

    private static void Put<T>(string?[] names, int at, int skip, string prefix = "")
        where T : struct, Enum
    {
        string[] all = Enum.GetNames<T>();
        for (int i = skip; i < all.Length && at + i < names.Length; i++)
        {
            names[at + i] ??= prefix + all[i];
        }
    }
}
