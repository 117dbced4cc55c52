using System.Buffers.Binary;
using System.Security.Cryptography;
using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Net.Server.Engine;

namespace Dst.Net.Server;

/// <summary>What the session machines ask for, done.</summary>
internal sealed unsafe partial class SessionThread
{
    private static UInt128 RandomId()
    {
        Span<byte> bytes = stackalloc byte[16];
        RandomNumberGenerator.Fill(bytes);
        return BinaryPrimitives.ReadUInt128LittleEndian(bytes);
    }

    /// <summary>Does what a connection's state asks for.</summary>
    private void Follow(Peer peer, in ConnectionVerdict verdict)
    {
        switch (verdict.Action)
        {
            case ConnectionAction.SendHello:
                Commit(peer, peer.Machine.WriteHello(RoomOf(peer)));
                break;
            case ConnectionAction.SendPong when peer.UnsentBytes < ServerLimits.TalkUnsentBytes:
                Commit(peer, MessageCodec.WritePlain(FrameKind.Pong, 0, verdict.Sequence, RoomOf(peer)));
                break;
            case ConnectionAction.Attach:
                Attach(peer);
                break;
            case ConnectionAction.Join:
                Join(peer);
                break;
            case ConnectionAction.Begin when peer.Export is { } export:
                export.Session.Begin(peer.Id, NowMs);
                Drain(export);
                break;
            case ConnectionAction.Goodbye when peer.Export is { } export:
                export.Session.Goodbye(peer.Id, NowMs);
                Drain(export);
                break;
            case ConnectionAction.Close:
                Close(peer, verdict.Code, null);
                break;
            default:
                break;
        }
    }

    private void Attach(Peer peer)
    {
        ref readonly AttachMessage message = ref peer.Machine.AttachRequest;
        if (Find(peer, in message.Export) is not { } export)
        {
            return;
        }

        peer.Export = export;
        export.Session.Attach(peer.Id, in message, new WireText(peer.Name), RandomId(), NowMs);
        if (export.Session.IsAttaching(peer.Id))
        {
            // One for each export at most; it may wait for long, and nobody's silence is to cost it its place.
            _room.Leave(peer.Id);
        }

        Drain(export);
    }

    private void Join(Peer peer)
    {
        ref readonly JoinMessage message = ref peer.Machine.JoinRequest;
        if (Find(peer, in message.Export) is not { } export)
        {
            return;
        }

        peer.Export = export;
        export.Session.Join(peer.Id, peer.Machine.Epoch, in message);
        Drain(export);
    }

    /// <summary>The export, if this client may see it; what it may not see does not exist.</summary>
    private Export? Find(Peer peer, in WireText name)
    {
        if (_exports.TryGetValue(name.ToString(), out Export? export) && export.IsVisibleTo(peer))
        {
            if (!_goingAway)
            {
                return export;
            }

            Close(peer, RefusalCode.ShuttingDown, export);
            return null;
        }

        string line = $"{peer.Name}: asks for export {name}, which it cannot see or which does not exist";
        _log.Write(peer.Host, line, NowMs);
        Close(peer, RefusalCode.UnknownExport, null);
        return null;
    }

    /// <summary>Does what an export's session asks for; what that brings about comes after.</summary>
    private void Drain(Export export)
    {
        while (export.Session.Effects.TryTake(out SessionEffect effect))
        {
            Do(export, in effect);
        }
    }

    private void Do(Export export, in SessionEffect effect)
    {
        switch (effect.Kind)
        {
            case SessionEffectKind.PersistHold:
                Persist(export, in export.Session.PendingHold);
                return;
            case SessionEffectKind.Released:
                export.Released?.TrySetResult(effect.A == 1);
                export.Released = null;
                return;
            case SessionEffectKind.Stopped:
                export.Stopped.TrySetResult();
                return;
            default:
                break;
        }

        if (_peers.TryGetValue(effect.Connection, out Peer? peer))
        {
            Do(export, peer, in effect);
        }
    }

    private void Do(Export export, Peer peer, in SessionEffect effect)
    {
        switch (effect.Kind)
        {
            case SessionEffectKind.Close:
                // The session has forgotten it already.
                peer.Export = null;
                Close(peer, effect.Code, export);
                break;
            case SessionEffectKind.SendWait when peer.UnsentBytes < ServerLimits.TalkUnsentBytes:
                AttachWaitMessage wait = new()
                {
                    Requests = (uint)effect.A,
                    WaitedMs = (uint)long.Min(effect.B, uint.MaxValue),
                    Text = new WireText($"{effect.A} older requests are still with the disk of the server"),
                };
                Commit(peer, MessageCodec.Write(in wait, RoomOf(peer)));
                break;
            case SessionEffectKind.Grant:
                SendGrant(export, peer, (ulong)effect.A);
                break;
            case SessionEffectKind.Joined:
                Commit(peer, MessageCodec.WriteJoinOk(peer.Machine.Epoch, (ushort)effect.A, RoomOf(peer)));
                peer.Machine.OnJoined();
                _room.Leave(peer.Id);
                BeginHandOver(export, peer);
                break;
            case SessionEffectKind.Begun:
                Commit(peer, MessageCodec.WritePlain(FrameKind.BeginOk, peer.Machine.Epoch, 0, RoomOf(peer)));
                peer.Machine.OnBegun();
                BeginHandOver(export, peer);
                break;
            case SessionEffectKind.SendGoodbye:
                SendGoodbye(peer);
                break;
            default:
                break;
        }
    }

    private void SendGrant(Export export, Peer peer, ulong epoch)
    {
        int length;
        for (int index = 0; (length = export.Session.WriteGrant(peer.Id, index, RoomOf(peer))) > 0; index++)
        {
            Commit(peer, length);
        }

        peer.Machine.OnGranted(epoch);
        _room.Leave(peer.Id);
        if (epoch == 0)
        {
            BeginHandOver(export, peer);
        }
        else
        {
            _log.Write(
                peer.Host,
                $"export {export.Settings.Name}: epoch {epoch} is granted to {export.Session.Record.HolderName}",
                NowMs);
        }
    }

    private void SendGoodbye(Peer peer)
    {
        peer.Export = null;
        if (peer.Live is { } live)
        {
            peer.Engine!.Tell(new EngineOrder(EngineOrderKind.Goodbye, live) { Epoch = peer.Machine.Epoch });
            return;
        }

        Commit(peer, MessageCodec.WritePlain(FrameKind.Goodbye, peer.Machine.Epoch, 0, RoomOf(peer)));
        peer.Machine.OnClosed();
        BeginEnd(peer);
    }

    private void Persist(Export export, in HoldRecord record)
    {
        HoldRecord copy = record;
        _keeper.Do(() =>
        {
            int error = _options.Holds.Write(export.Settings.Name, in copy);
            Post(() =>
            {
                if (error < 0)
                {
                    _options.Log(
                        $"export {export.Settings.Name}: the hold record cannot be written: "
                        + $"{Interop.Errno.Describe(-error)}; "
                        + "nobody can attach until it can: look at the state directory");
                }

                export.Session.HoldPersisted(error == 0, NowMs);
                Drain(export);
            });
        });
    }
}
