using System.Collections.Frozen;

namespace Dst.Simulation.Checks;

/// <summary>
/// Which events may come in which state, and why no other: peers are honest, threads end in order. A run that meets
/// another pair has broken a rule; one that nobody has met, though it may come, is what the world does not reach yet.
/// </summary>
internal static class PossiblePairs
{
    private const string Operator = "tick,Suspend,Resume,Fail,Budget,ClearError,Leave,Stop";
    private const string Noted = "epoch noted,epoch not noted,server noted,server not noted";
    private const string OfLive = "Ping,Pong,Error,lost";
    private const string OfServer = "Hello,AttachWait,Completed,AttachOk,JoinOk,BeginOk,Goodbye," + OfLive;
    private const string OfLane = "Settled,Recovered,Resent,Closed,Quiet,Doubt";
    private const string LaneAlways =
        "Fail,Budget,Hold,Unhold,replies,wake,Read,Write,Flush,Discard,WriteZeroes";

    private const string Export =
        "attach,join,goodbye,connection lost,drained,release,stop,clear error,tick";

    private const string Unheard =
        "clients send neither grants nor answers, and nothing before its turn; a server pings only who is live";

    private const string NoMore = "an end waits for every thread, connection and note";

    private static readonly FrozenDictionary<(Machine Machine, string State), Entry> Entries =
        new Dictionary<(Machine Machine, string State), Entry>
        {
            [(Machine.ClientNode, "Idle")] = new("", "a node starts as soon as it is made"),
            [(Machine.ClientNode, "Connecting")] = Node("connected,connect failed", "no connection stands"),
            [(Machine.ClientNode, "Greeting")] = Node("Hello,Error,lost", "HELLO is answered first, nobody pings yet"),
            [(Machine.ClientNode, "Attaching")] = Node("AttachWait,Completed,AttachOk,Pong,Error,lost", "no grant yet"),
            [(Machine.ClientNode, "Draining")] = Node("AttachWait,Completed,AttachOk,Pong,Error,lost", "no grant yet"),
            [(Machine.ClientNode, "NotingEpoch")] =
                Node("Pong,Error,lost,epoch noted,epoch not noted", "the server waits for BEGIN"),
            [(Machine.ClientNode, "Joining")] =
                Node("Hello,JoinOk,BeginOk,connected,connect failed," + OfLive, "lanes are down, the epoch is noted"),
            [(Machine.ClientNode, "Settling")] = Node("Settled," + OfLive, "lanes have nothing on the wire"),
            [(Machine.ClientNode, "Recovering")] = Node("Recovered,Doubt," + OfLive, "only one lane has work"),
            [(Machine.ClientNode, "NotingServer")] =
                Node("server noted,server not noted," + OfLive, "lanes have nothing on the wire"),
            [(Machine.ClientNode, "Resending")] = Node("Resent,Doubt," + OfLive, "lanes send again, nothing else"),
            [(Machine.ClientNode, "Live")] = Node("Doubt," + OfLive, "lanes and server speak of nothing else"),
            [(Machine.ClientNode, "Leaving")] =
                Node("Closed,Doubt,Goodbye," + OfLive, "lanes close, GOODBYE is answered"),
            [(Machine.ClientNode, "Ending")] = Node(
                "RX ended,TX ended,connect failed," + OfServer + "," + OfLane + "," + Noted,
                "what was on its way still comes, but a connect that is given up never stands"),
            [(Machine.ClientNode, "Pausing")] = Node("", NoMore),
            [(Machine.ClientNode, "Failed")] = Node("", NoMore),
            [(Machine.ClientNode, "Closed")] = Node("", NoMore),
            [(Machine.ClientLane, "Down")] = Lane("Settle", "the node settles a lane before anything else"),
            [(Machine.ClientLane, "Settled")] = Lane("Recover,Resend,Close", "the next step of the epoch, or its end"),
            [(Machine.ClientLane, "Resending")] = Lane("Open,Close", "the next step of the epoch, or its end"),
            [(Machine.ClientLane, "Open")] = Lane("Close", "only the end of the epoch is left"),
            [(Machine.ClientLane, "Closing")] = Lane("LetGo", "a closed lane is let go of"),
            [(Machine.ServerConnection, "New")] = new("Hello,end,malformed", Unheard),
            [(Machine.ServerConnection, "Greeted")] = new("Attach,Join,Error,end,malformed", Unheard),
            [(Machine.ServerConnection, "Attaching")] = new("Ping,Error,end,malformed", Unheard),
            [(Machine.ServerConnection, "Joining")] = new("", "JOIN is answered at once"),
            [(Machine.ServerConnection, "Granted")] = new("Begin,Ping,Error,end,malformed", Unheard),
            [(Machine.ServerConnection, "Beginning")] = new("Ping,Error,end,malformed", Unheard),
            [(Machine.ServerConnection, "Live")] = new("", "an engine reads a live connection"),
            [(Machine.ServerConnection, "Leaving")] = new("", "an engine reads who says goodbye"),
            [(Machine.ServerConnection, "Closed")] = new("end", "of a closed connection only the end is read"),
            [(Machine.ExportSession, "no session")] =
                new(Export + ",durable,not durable", "who begins has a session, or is closed with it"),
            [(Machine.ExportSession, "granted")] =
                new(Export + ",begin,durable,not durable", "anything may come: readers leave when they like"),
            [(Machine.ExportSession, "begun")] =
                new(Export, "a session begins once, and is over before a record is written"),
            [(Machine.ExportSession, "draining")] = new(Export, "no record is written while the disk has requests"),
            [(Machine.ServerLane, "None")] = new(
                "Ping,Pong,done Read,done Write,done Flush,done Discard,done WriteZeroes,asked Flush",
                "after GOODBYE only PING and a flush of the lane's own may still come"),
            [(Machine.ServerLane, "ReceiveBody")] = new("asked Write", "only writes have bodies"),
            [(Machine.ServerLane, "Run")] = new(
                "body,asked Read,asked Flush,asked Discard,asked WriteZeroes", "a write runs when its body is there"),
            [(Machine.ServerLane, "Reply")] = new(
                "body,done Read,done Write,done Flush,done Discard,done WriteZeroes,"
                + "asked Flush,asked Discard,asked WriteZeroes",
                "a read is valid, a write is answered with its body"),
            [(Machine.ServerLane, "RunFlush")] =
                new("done Discard,done WriteZeroes", "a write has FUA where it has to be durable"),
            [(Machine.ServerLane, "ClearPoison")] = new("done Flush", "only a flush takes the poison away"),
            [(Machine.ServerLane, "SendPong")] = new("Ping", "it answers PING"),
            [(Machine.ServerLane, "Goodbye")] = new("Goodbye", "it answers GOODBYE"),
            [(Machine.ServerLane, "Close")] = new(
                "Error,bad body,body,asked Read,asked Write,asked Flush,asked Discard,asked WriteZeroes,"
                + "done Read",
                "of what the disk has done only a read over a loss ends a connection"),
        }.ToFrozenDictionary();

    private static readonly bool[] Possible = Fill();

    /// <summary>True when the event may come in the state.</summary>
    public static bool Has(Machine machine, int state, int happened) =>
        Possible[Coverage.IndexOf(machine, state, happened)];

    /// <summary>Why no other event comes in the state; null when the state is not listed.</summary>
    public static string? Reason(Machine machine, string state) => Entries.GetValueOrDefault((machine, state))?.Reason;

    /// <summary>What is listed and no machine has: nothing.</summary>
    public static IEnumerable<string> Unknown() =>
        from entry in Entries
        let machine = entry.Key.Machine
        from name in entry.Value.Events.Split(',').Where(name => name.Length > 0).Append("")
        where name.Length == 0
            ? !CoverageNames.States(machine).Contains(entry.Key.State)
            : !CoverageNames.Events(machine).Contains(name)
        select $"{machine} {entry.Key.State} {name}";

    /// <summary>The first pair that was met though it cannot be; null when none was.</summary>
    public static string? FirstBroken(Coverage coverage)
    {
        foreach ((Machine machine, int state, int happened) in CoverageNames.Pairs)
        {
            if (coverage.Count(machine, state, happened) > 0 && !Has(machine, state, happened))
            {
                string name = CoverageNames.States(machine)[state];
                string what = CoverageNames.Events(machine)[happened] ?? "nothing";
                return $"{machine} {name}: {what} came, which cannot be: {Reason(machine, name)}";
            }
        }

        return null;
    }

    private static Entry Node(string events, string reason) =>
        new(events.Length > 0 ? $"{Operator},{events}" : Operator, reason);

    private static Entry Lane(string events, string reason) => new($"{LaneAlways},{events}", reason);

    private static bool[] Fill()
    {
        bool[] possible = new bool[Coverage.Size];
        foreach ((Machine machine, int state, int happened) in CoverageNames.Pairs)
        {
            string name = CoverageNames.States(machine)[state];
            string[] events = Entries.TryGetValue((machine, name), out Entry? entry) ? entry.Events.Split(',') : [];
            bool has = events.Contains(CoverageNames.Events(machine)[happened]);
            possible[Coverage.IndexOf(machine, state, happened)] = has;
        }

        return possible;
    }

    private sealed record Entry(string Events, string Reason);
}
