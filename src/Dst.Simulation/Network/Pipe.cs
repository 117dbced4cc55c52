using Dst.Simulation.Engine;

namespace Dst.Simulation.Network;

/// <summary>An end of a connection, as its process sees it.</summary>
internal interface IEndpoint
{
    /// <summary>Bytes, the end of the stream or an error can be read.</summary>
    void OnReadable();

    /// <summary>The socket takes bytes again.</summary>
    void OnWritable();
}

/// <summary>
/// One direction of a connection: a byte stream. What was written sits in the sender's socket and the network until a
/// pump delivers some of it; it stays there when its process dies and is delivered all the same.
/// </summary>
internal sealed class Pipe(World world, Link link, bool up) : Actor(world, null)
{
    private const int Pump = 0;

    private readonly ByteRing _sent = new();
    private readonly ByteRing _inbox = new();
    private bool _pumping;
    private bool _writerWaits;
    private bool _fin;
    private bool _flip;

    /// <summary>Who reads; null once its process is gone.</summary>
    public IEndpoint? Reader { get; set; }

    /// <summary>Who writes.</summary>
    public IEndpoint? Writer { get; set; }

    /// <summary>Nothing moves until then.</summary>
    public long StalledUntilUs { get; set; }

    /// <summary>Nothing ever moves again and nobody is told.</summary>
    public bool IsBlackhole { get; set; }

    /// <summary>The stream ended with an error: what was delivered may still be read.</summary>
    public bool IsBroken { get; private set; }

    /// <summary>The stream ended and all of it was delivered.</summary>
    public bool IsEnded { get; private set; }

    /// <summary>Nobody reads any more: what comes is answered by a reset.</summary>
    public bool ReaderGone { get; private set; }

    /// <summary>Bytes delivered and not read.</summary>
    public ByteRing Inbox => _inbox;

    /// <summary>Bytes that were written and not delivered.</summary>
    public int OnTheWay => _sent.Count;

    /// <summary>True when nothing of it will ever happen again.</summary>
    public bool IsOver => IsBroken || IsEnded || IsBlackhole || (ReaderGone && _fin);

    /// <summary>Writes what fits.</summary>
    /// <returns>Bytes taken; -1 when the stream is broken.</returns>
    public int Write(ReadOnlySpan<byte> bytes)
    {
        if (IsBroken || _fin)
        {
            return -1;
        }

        int taken = int.Min(bytes.Length, World.Plan.SocketBytes - _sent.Count);
        _sent.Write(bytes[..taken]);
        _writerWaits |= taken < bytes.Length;
        StartPump();
        return taken;
    }

    /// <summary>The end of the stream comes after what was written.</summary>
    public void Finish()
    {
        _fin = true;
        StartPump();
    }

    /// <summary>The reader closed its socket, or its process is gone.</summary>
    public void CloseReader()
    {
        ReaderGone = true;
        Reader = null;
        _inbox.Clear();
    }

    /// <summary>The connection was reset: what was not delivered is gone.</summary>
    public void Break()
    {
        if (!IsBroken)
        {
            IsBroken = true;
            _sent.Clear();
            Reader?.OnReadable();
            Writer?.OnWritable();
        }
    }

    /// <summary>The sender's machine is gone: of what it had not sent, some may be on its way.</summary>
    public void LosePower()
    {
        if (_sent.Count > 0)
        {
            int kept = World.Chance.Below(_sent.Count + 1);
            ByteRing rest = new();
            _sent.MoveTo(rest, kept);
            _sent.Clear();
            rest.MoveTo(_sent, kept);
        }
    }

    /// <summary>Turns a bit of what comes next round.</summary>
    public void FlipSoon() => _flip = true;

    /// <summary>A stall is taken back.</summary>
    public void Heal()
    {
        _flip = false;
        if (StalledUntilUs > World.NowUs)
        {
            StalledUntilUs = 0;
            _pumping = false;
            StartPump();
        }
    }

    /// <summary>Moves on.</summary>
    public void StartPump()
    {
        if (!_pumping && !IsBlackhole && !IsBroken)
        {
            _pumping = true;
            Post(1 + World.Chance.Wait(World.Plan.LatencyUs), Pump);
        }
    }

    /// <inheritdoc/>
    public override void On(int kind, long a, long b)
    {
        _pumping = false;
        if (IsBlackhole || IsBroken)
        {
            return;
        }

        if (StalledUntilUs > World.NowUs)
        {
            _pumping = true;
            Post(StalledUntilUs - World.NowUs, Pump);
            return;
        }

        int count = int.Min(_sent.Count, World.Plan.SegmentBytes);
        if (count > 1 && World.Plan.SegmentBytes < 4096)
        {
            count = 1 + World.Chance.Below(count);
        }

        Deliver(count);
    }

    /// <inheritdoc/>
    public override string Describe(int kind, long a, long b) =>
        $"net {link.Name} {(up ? "client → server" : "server → client")} delivers of {_sent.Count} B"
        + $"{(_fin ? ", end" : "")}{(ReaderGone ? ", nobody reads" : "")}";

    private void Deliver(int count)
    {
        if (ReaderGone)
        {
            if (count > 0)
            {
                link.Reset();
                return;
            }
        }
        else if (count > 0)
        {
            if (_flip)
            {
                _flip = false;
                _sent.Flip(World.Chance.Below(count), World.Chance.Below(8));
                link.OnFlipped();
            }

            _sent.MoveTo(_inbox, count);
        }

        if (_sent.Count > 0)
        {
            StartPump();
        }
        else if (_fin)
        {
            IsEnded = true;
        }

        if (count > 0 || IsEnded)
        {
            Reader?.OnReadable();
        }

        if (_writerWaits && _sent.Count < World.Plan.SocketBytes)
        {
            _writerWaits = false;
            Writer?.OnWritable();
        }
    }
}

/// <summary>A connection of two byte streams.</summary>
internal sealed class Link
{
    /// <summary>A connection between two ends that are set afterwards.</summary>
    public Link(World world, string name)
    {
        Name = name;
        Up = new Pipe(world, this, up: true);
        Down = new Pipe(world, this, up: false);
    }

    /// <summary>For people.</summary>
    public string Name { get; }

    /// <summary>Client to server.</summary>
    public Pipe Up { get; }

    /// <summary>Server to client.</summary>
    public Pipe Down { get; }

    /// <summary>True when nothing of it will ever happen again.</summary>
    public bool IsOver => Up.IsOver && Down.IsOver;

    /// <summary>A bit of it has turned round: either end may break it off.</summary>
    public bool IsDamaged { get; private set; }

    /// <summary>Told when a bit turns round.</summary>
    public Action? Flipped { get; init; }

    /// <summary>A bit of what was delivered has turned round.</summary>
    public void OnFlipped()
    {
        IsDamaged = true;
        Flipped?.Invoke();
    }

    /// <summary>Both directions are gone.</summary>
    public void Reset()
    {
        Up.Break();
        Down.Break();
    }

    /// <summary>Nothing moves any more and nobody is told.</summary>
    public void BlackOut() => Up.IsBlackhole = Down.IsBlackhole = true;

    /// <summary>
    /// One side closes its socket, or its process died: what it wrote is still delivered; with unread bytes the other
    /// side may get a reset instead.
    /// </summary>
    public void Close(bool byClient)
    {
        (Pipe reads, Pipe writes) = byClient ? (Down, Up) : (Up, Down);
        writes.Writer = null;
        reads.CloseReader();
        writes.Finish();
    }

    /// <summary>One side's machine has lost power: nobody is told, until it is up again.</summary>
    public void LosePower(bool ofClient)
    {
        (Pipe reads, Pipe writes) = ofClient ? (Down, Up) : (Up, Down);
        writes.Writer = null;
        writes.LosePower();
        reads.CloseReader();
        reads.IsBlackhole = true;
    }
}
