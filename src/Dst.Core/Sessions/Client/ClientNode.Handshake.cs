using Dst.Core.Wire;

namespace Dst.Core.Sessions.Client;

/// <summary>The part of a node that speaks with the server: from HELLO to BEGIN_OK (S-01).</summary>
public sealed partial class ClientNode
{
    private ExportFacts _known;
    private ulong _replaces;
    private bool _takeOver;
    private bool _takeOverArmed;
    private ulong _takeOverEpoch;
    private ulong _attachedEpoch;
    private UInt128 _token;
    private ChecksumKind _checksum;
    private uint _completedSeen;
    private ulong _completedEpoch;
    private bool _begun;
    private bool _holds;
    private bool _isAsked;
    private int _badConnection;
    private int _badSlot;
    private ulong _badSequence;

    private bool IsReadOnly => _options.Access == AccessKind.ReadOnly;

    /// <summary>A whole frame other than REPLY came. Frames of a connection that was shut are nobody's.</summary>
    /// <param name="connection">Its number.</param>
    /// <param name="header">Its header, checked by the codec.</param>
    /// <param name="body">Its body.</param>
    /// <param name="nowMs">Now.</param>
    public void OnFrame(int connection, in FrameHeader header, ReadOnlySpan<byte> body, long nowMs)
    {
        ref ConnectionState state = ref ConnectionAt(connection);
        if (state.IsShut || state.Phase is ConnectionPhase.Down or ConnectionPhase.Connecting)
        {
            return;
        }

        state.LastReceivedMs = nowMs;
        if (!FrameCodec.IsBodyIntact(in header, body))
        {
            if (header.Kind != FrameKind.Error)
            {
                Refuse(connection, EpochEnd.BadData, nowMs);
                return;
            }

            body = [];
        }

        switch (header.Kind)
        {
            case FrameKind.Ping:
                SendPlain(connection, FrameKind.Pong, 0, header.Sequence, nowMs);
                break;
            case FrameKind.Pong:
                RoundTripMs = header.Sequence == state.PingNumber ? nowMs - state.PingSentMs : RoundTripMs;
                break;
            case FrameKind.Error when !IsLeavingBeside(connection):
                OnError(connection, (RefusalCode)header.Status, body, nowMs);
                break;
            case FrameKind.Error:
                break;
            case FrameKind.Goodbye when AwaitsGoodbye && connection == 0 && header.Epoch == Epoch:
                HoldGivenBack = !IsReadOnly;
                End(EpochEnd.Operator, AfterEnd.Close, nowMs);
                break;
            case FrameKind.Hello when state.Phase == ConnectionPhase.Greeting:
                OnHello(connection, body, nowMs);
                break;
            case FrameKind.AttachWait when state.Phase == ConnectionPhase.Attaching:
                OnAttachWait(connection, body, nowMs);
                break;
            case FrameKind.Completed when state.Phase == ConnectionPhase.Attaching && !IsReadOnly:
                OnCompleted(connection, in header, body, nowMs);
                break;
            case FrameKind.AttachOk when state.Phase == ConnectionPhase.Attaching:
                OnAttachOk(connection, in header, body, nowMs);
                break;
            case FrameKind.JoinOk when state.Phase == ConnectionPhase.Joining:
                OnJoinOk(connection, in header, body, nowMs);
                break;
            case FrameKind.BeginOk when connection == 0 && Phase == ClientNodePhase.Joining && !_begun:
                _begun = header.Epoch == Epoch;
                if (!_begun)
                {
                    Refuse(connection, EpochEnd.Protocol, nowMs);
                    return;
                }

                AdvanceJoin(nowMs);
                break;
            default:
                Refuse(connection, EpochEnd.Protocol, nowMs);
                break;
        }
    }

    /// <summary>The epoch is durable, or could not be made so (S-03).</summary>
    /// <param name="durable">True when it is.</param>
    /// <param name="nowMs">Now.</param>
    public void OnEpochNoted(bool durable, long nowMs)
    {
        Must.Be(_notingEpoch, $"epoch noted while {Phase}");
        _notingEpoch = false;
        durable |= Mutations.Has(Mutation.EpochNotNoted);
        if (durable)
        {
            LastEpoch = _attachedEpoch;
            _replaces = _attachedEpoch;
        }

        if (Phase == ClientNodePhase.Ending)
        {
            AdvanceEnd(nowMs);
        }
        else if (!durable)
        {
            End(EpochEnd.NotDurable, AfterEnd.TryAgainSlowly, nowMs);
        }
        else
        {
            Phase = ClientNodePhase.Joining;
            _connections[0].DeadlineMs = nowMs + WireLimits.HandshakeMs;
            SendPlain(0, FrameKind.Begin, Epoch, 0, nowMs);
            ConnectOthers(nowMs);
        }
    }

    private void ConnectOthers(long nowMs)
    {
        for (int i = 1; i < _granted; i++)
        {
            Connect(i, nowMs);
        }
    }

    private void OnHello(int connection, ReadOnlySpan<byte> body, long nowMs)
    {
        WireError error = MessageCodec.TryRead(body, out HelloReply hello);
        bool speaks = hello.Version is >= WireLimits.VersionMin and <= WireLimits.VersionMax && hello.Features == 0;
        if (error != WireError.None || !speaks)
        {
            Refuse(connection, EpochEnd.Protocol, nowMs);
            return;
        }

        bool first = connection == 0;
        int common = hello.Checksums & _options.Checksums;
        if (common == 0 || (!first && (common & (1 << (int)_checksum)) == 0))
        {
            Refuse(connection, EpochEnd.Protocol, nowMs);
            return;
        }

        if (first)
        {
            _checksum = (common & (1 << (int)_options.Checksum)) != 0
                ? _options.Checksum
                : (ChecksumKind)(31 - int.LeadingZeroCount(common));
        }

        if (first || IsReadOnly)
        {
            SendAttach(connection, hello.Nonce, nowMs);
        }
        else
        {
            SendJoin(connection, hello.Nonce, nowMs);
        }
    }

    private void OnAttachWait(int connection, ReadOnlySpan<byte> body, long nowMs)
    {
        if (MessageCodec.TryRead(body, out AttachWaitMessage wait) != WireError.None)
        {
            Refuse(connection, EpochEnd.Protocol, nowMs);
            return;
        }

        DrainWait = wait;
        if (!Mutations.Has(Mutation.DrainHasDeadline))
        {
            _connections[connection].DeadlineMs = nowMs + WireLimits.HandshakeMs;
        }

        if (connection == 0)
        {
            Phase = ClientNodePhase.Draining;
        }
    }

    private void OnCompleted(int connection, in FrameHeader header, ReadOnlySpan<byte> body, long nowMs)
    {
        bool sameEpoch = _completedSeen == 0 || header.Epoch == _completedEpoch;
        _completedEpoch = header.Epoch;
        int count = body.Length / WireLimits.CompletedEntryBytes;
        for (int i = 0; i < count && sameEpoch; i++)
        {
            if (MessageCodec.TryReadCompleted(body, i, out CompletedEntry entry) != WireError.None)
            {
                sameEpoch = false;
                break;
            }

            _shared.Completed.Add(in entry);
            _completedSeen++;
        }

        if (!sameEpoch || _completedSeen > WireLimits.ConnectionsMax * WireLimits.SlotsMax)
        {
            Refuse(connection, EpochEnd.Protocol, nowMs);
        }
    }

    private void OnAttachOk(int connection, in FrameHeader header, ReadOnlySpan<byte> body, long nowMs)
    {
        WireError error = MessageCodec.TryRead(body, out AttachOkMessage message);
        bool whole = message.CompletedCount == _completedSeen
            && (_completedSeen == 0 || header.Epoch == _completedEpoch)
            && message.Checksum == _checksum
            && (header.Epoch == 0) == IsReadOnly
            && header.Epoch <= WireLimits.EpochMax;
        if (error != WireError.None || !whole)
        {
            Refuse(connection, EpochEnd.Protocol, nowMs);
            return;
        }

        if (connection > 0)
        {
            bool same = message.Identity == Export.Identity && message.Geometry == Export.Geometry;
            bool sameServer = message.BootId == Export.BootId
                && message.WriteErrorGeneration == Export.WriteErrorGeneration;
            if (!same || !sameServer)
            {
                End(EpochEnd.ServerChanged, AfterEnd.TryAgain, nowMs);
                return;
            }

            _connections[connection].Phase = ConnectionPhase.Ready;
            AdvanceJoin(nowMs);
            return;
        }

        LastFault = FindFault(header.Epoch, in message);
        if (LastFault != ExportFault.None)
        {
            Refuse(connection, EpochEnd.Unsuitable, nowMs);
            return;
        }

        AcceptAttach(header.Epoch, in message, nowMs);
    }

    private void AcceptAttach(ulong epoch, in AttachOkMessage message, long nowMs)
    {
        if (!_known.IsKnown)
        {
            _known = new ExportFacts(
                message.Identity,
                message.Geometry.SizeBytes,
                message.Geometry.BlockBytes,
                message.Geometry.MaxRequestBytes,
                message.Geometry.MaxChangeBytes,
                message.Cache);
        }

        Export = message;
        HasAttached = true;
        Epoch = epoch;
        _attachedEpoch = epoch;
        _token = message.Token;
        _takeOver = false;
        _holds = true;
        _isAsked = false;
        _granted = int.Min(message.Credits.Connections, _options.Credits.Connections);
        _connections[0].Phase = ConnectionPhase.Ready;
        if (IsReadOnly)
        {
            _begun = true;
            Phase = ClientNodePhase.Joining;
            ConnectOthers(nowMs);
            AdvanceJoin(nowMs);
            return;
        }

        Phase = ClientNodePhase.NotingEpoch;
        _notingEpoch = true;
        Effects.Add(new NodeEffect { Kind = NodeEffectKind.NoteEpoch, Epoch = epoch });
    }

    /// <summary>Everything is checked again at each attach (S-07), and the epoch against the last one (S-03).</summary>
    private ExportFault FindFault(ulong epoch, in AttachOkMessage message)
    {
        if (!IsReadOnly && epoch <= LastEpoch)
        {
            return ExportFault.Epoch;
        }

        ExportGeometry geometry = message.Geometry;
        bool readOnly = (geometry.Capabilities & ExportCapabilities.ReadOnly) != ExportCapabilities.None;
        if (readOnly && !IsReadOnly)
        {
            return ExportFault.ReadOnly;
        }

        bool writesBack = message.Cache == CacheMode.WriteBack && !IsReadOnly;
        if (writesBack && _shared.Logs[0].ArenaBytes < geometry.MaxRequestBytes)
        {
            return ExportFault.Log;
        }

        int connections = int.Min(message.Credits.Connections, _options.Credits.Connections);
        LaneShare share = ShareOf(0, connections, message.Credits);
        if (share.Slots < ClientLimits.LaneSlotsMin || share.PayloadBytes < geometry.MaxRequestBytes)
        {
            return ExportFault.Credits;
        }

        return _known.IsKnown ? FindChange(in message) : ExportFault.None;
    }

    private ExportFault FindChange(in AttachOkMessage message)
    {
        ExportGeometry geometry = message.Geometry;
        if (Mutations.Has(Mutation.ChangeNotNoticed))
        {
            return ExportFault.None;
        }

        if (message.Identity != _known.Identity)
        {
            return ExportFault.Identity;
        }

        if (geometry.SizeBytes < _known.SizeBytes)
        {
            return ExportFault.Size;
        }

        if (geometry.BlockBytes > _known.BlockBytes)
        {
            return ExportFault.Block;
        }

        if (geometry.MaxRequestBytes < _known.MaxRequestBytes || geometry.MaxChangeBytes < _known.MaxChangeBytes)
        {
            return ExportFault.MaxRequest;
        }

        bool cacheCame = message.Cache == CacheMode.WriteBack && _known.Cache == CacheMode.WriteThrough;
        return cacheCame && !IsReadOnly ? ExportFault.WriteBack : ExportFault.None;
    }

    private void OnJoinOk(int connection, in FrameHeader header, ReadOnlySpan<byte> body, long nowMs)
    {
        WireError error = MessageCodec.TryReadJoinOk(body, out ushort number);
        if (error != WireError.None || number != connection || header.Epoch != Epoch)
        {
            Refuse(connection, EpochEnd.Protocol, nowMs);
            return;
        }

        _connections[connection].Phase = ConnectionPhase.Ready;
        AdvanceJoin(nowMs);
    }

    private void AdvanceJoin(long nowMs)
    {
        if (!_begun)
        {
            return;
        }

        for (int i = 0; i < _granted; i++)
        {
            if (_connections[i].Phase != ConnectionPhase.Ready)
            {
                return;
            }
        }

        BeginSettling();
    }

    private void OnError(int connection, RefusalCode code, ReadOnlySpan<byte> body, long nowMs)
    {
        // What cannot be read says nothing more than its code.
        LastRefusal = code;
        bool isReadable = MessageCodec.TryRead(body, out ErrorMessage message) == WireError.None && !body.IsEmpty;
        LastError = isReadable ? message : default;
        _holds &= code is not (RefusalCode.Held or RefusalCode.Fenced or RefusalCode.Released);
        _isAsked &= RefusalTable.RetryOf(code) == RetryRule.Soon;
        if (_closing)
        {
            End(EpochEnd.Refused, AfterEnd.Close, nowMs);
            return;
        }

        if (code == RefusalCode.Checksum && Phase == ClientNodePhase.Recovering && _replaying)
        {
            // The copy was good when it went: the way damages it, and no number of times makes that a loss (S-22).
            End(EpochEnd.ReplayDamaged, AfterEnd.TryAgain, nowMs);
            return;
        }

        if (code == RefusalCode.Checksum)
        {
            _badConnection = connection;
            _badSlot = LastError.Slot;
            _badSequence = LastError.Sequence;
        }

        if (code is RefusalCode.Held or RefusalCode.Fenced && _takeOver)
        {
            // The operator's act: named once with the epoch that is fenced by it, never again by a reconnect (S-04).
            // An answer that was damaged names none.
            if (isReadable)
            {
                _takeOver = false;
                _takeOverArmed = true;
                _takeOverEpoch = LastError.Epoch;
            }

            End(EpochEnd.Refused, AfterEnd.TryAgain, nowMs);
            return;
        }

        switch (RefusalTable.RetryOf(code))
        {
            case RetryRule.Never:
                bool goesOn = Mutations.Has(Mutation.FencedGoesOn);
                End(EpochEnd.Refused, goesOn ? AfterEnd.TryAgain : AfterEnd.Fail, nowMs);
                break;
            case RetryRule.Soon:
                bool leaves = code == RefusalCode.ShuttingDown;
                End(leaves ? EpochEnd.ServerLeft : EpochEnd.ConnectionLost, AfterEnd.TryAgain, nowMs);
                break;
            default:
                End(EpochEnd.Refused, AfterEnd.TryAgainSlowly, nowMs);
                break;
        }
    }

    /// <summary>Says why, then ends: what is malformed or out of order is not repeated fast (N-33).</summary>
    private void Refuse(int connection, EpochEnd reason, long nowMs)
    {
        // What was damaged on its way is good the next time.
        bool damaged = reason == EpochEnd.BadData;
        ErrorMessage message = default;
        int frame = NextFrame();
        RefusalCode code = damaged ? RefusalCode.Checksum : RefusalCode.Protocol;
        Send(connection, frame, MessageCodec.Write(code, in message, FrameSpan(frame)), nowMs);
        AfterEnd next = damaged ? AfterEnd.TryAgain : AfterEnd.TryAgainSlowly;
        End(reason, _closing ? AfterEnd.Close : next, nowMs);
    }

    private void SendHello(int connection, UInt128 nonce, long nowMs)
    {
        HelloMessage hello = new()
        {
            VersionMin = WireLimits.VersionMin,
            VersionMax = WireLimits.VersionMax,
            Nonce = nonce,
            Checksums = _options.Checksums,
            Software = _options.Software,
        };
        int frame = NextFrame();
        Send(connection, frame, MessageCodec.Write(in hello, FrameSpan(frame)), nowMs);
    }

    private void SendAttach(int connection, UInt128 challenge, long nowMs)
    {
        _completedSeen = 0;
        _shared.Completed.Clear();
        AttachMessage attach = new()
        {
            Challenge = challenge,
            Export = _options.Export,
            Device = _options.Device,
            Incarnation = _options.Incarnation,
            Access = _options.Access,
            TakeOver = _takeOverArmed && !IsReadOnly,
            ExpectedIdentity = _known.Identity,
            ExpectedSizeBytes = _known.SizeBytes,
            Credits = _options.Credits,
            Checksum = _checksum,
            Holder = _options.Holder,
            Lanes = (ushort)_shared.Lanes,
        };
        if (attach.TakeOver)
        {
            // If the answer is lost, a plain attach that names the same epoch finds out whether it was granted.
            _replaces = _takeOverEpoch;
            _takeOverArmed = false;
        }

        attach.Replaces = IsReadOnly ? 0 : _replaces;
        _isAsked = true;
        int frame = NextFrame();
        Send(connection, frame, MessageCodec.Write(in attach, FrameSpan(frame)), nowMs);
        _connections[connection].Phase = ConnectionPhase.Attaching;
        if (connection == 0)
        {
            Phase = ClientNodePhase.Attaching;
        }
    }

    private void SendJoin(int connection, UInt128 challenge, long nowMs)
    {
        JoinMessage join = new()
        {
            Challenge = challenge,
            Export = _options.Export,
            Token = _token,
            Connection = (ushort)connection,
        };
        int frame = NextFrame();
        Send(connection, frame, MessageCodec.Write(Epoch, in join, FrameSpan(frame)), nowMs);
        _connections[connection].Phase = ConnectionPhase.Joining;
    }

    private void SendPlain(int connection, FrameKind kind, ulong epoch, ulong sequence, long nowMs)
    {
        int frame = NextFrame();
        Send(connection, frame, MessageCodec.WritePlain(kind, epoch, sequence, FrameSpan(frame)), nowMs);
    }

    private int NextFrame()
    {
        int used = 0;
        for (int i = 0; i < Effects.Count; i++)
        {
            used += Effects[i].Kind == NodeEffectKind.SendFrame ? 1 : 0;
        }

        Must.Be(used < _frameCount, $"more than {_frameCount} frames without a drain");
        return used;
    }

    private Span<byte> FrameSpan(int frame) =>
        _frames.AsSpan(frame * WireLimits.ControlFrameMaxBytes, WireLimits.ControlFrameMaxBytes);

    private void Send(int connection, int frame, int lengthBytes, long nowMs)
    {
        _connections[connection].LastSentMs = nowMs;
        Effects.Add(new NodeEffect
        {
            Kind = NodeEffectKind.SendFrame,
            Connection = connection,
            Frame = frame,
            LengthBytes = lengthBytes,
        });
    }
}
