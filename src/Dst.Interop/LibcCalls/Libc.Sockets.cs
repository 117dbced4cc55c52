using Tmds.Linux;

namespace Dst.Interop;

// Sockets, on descriptors that System.Net.Sockets or the control plane opened.
public static unsafe partial class Libc
{
    /// <summary>Sends (MSG_).</summary>
    /// <returns>Bytes taken, or -errno.</returns>
    public static long Send(int fd, void* buffer, nuint lengthBytes, int flags) =>
        Result((long)LibC.send(fd, buffer, (size_t)lengthBytes, flags));

    /// <summary>Receives (MSG_).</summary>
    /// <returns>Bytes, 0 when the peer has closed, or -errno.</returns>
    public static long Recv(int fd, void* buffer, nuint lengthBytes, int flags) =>
        Result((long)LibC.recv(fd, buffer, (size_t)lengthBytes, flags));

    /// <summary>Sends from several buffers (MSG_).</summary>
    /// <returns>Bytes taken, or -errno.</returns>
    public static long Sendmsg(int fd, ref MsgHdr message, int flags)
    {
        fixed (MsgHdr* m = &message)
        {
            return NativeMethods.Result(NativeMethods.Sendmsg(fd, m, flags));
        }
    }

    /// <summary>Receives into several buffers (MSG_).</summary>
    /// <returns>Bytes, 0 when the peer has closed, or -errno.</returns>
    public static long Recvmsg(int fd, ref MsgHdr message, int flags)
    {
        fixed (MsgHdr* m = &message)
        {
            return NativeMethods.Result(NativeMethods.Recvmsg(fd, m, flags));
        }
    }

    /// <summary>Ends one or both directions (SHUT_).</summary>
    public static int Shutdown(int fd, int how) => Result(LibC.shutdown(fd, how));

    /// <summary>Asks for an option.</summary>
    public static int Getsockopt<T>(int fd, int level, int option, out T value)
        where T : unmanaged
    {
        value = default;
        uint length = (uint)sizeof(T);
        fixed (T* v = &value)
        {
            return NativeMethods.Result(NativeMethods.Getsockopt(fd, level, option, v, &length));
        }
    }

    /// <summary>Sets an option.</summary>
    public static int Setsockopt<T>(int fd, int level, int option, T value)
        where T : unmanaged =>
        NativeMethods.Result(NativeMethods.Setsockopt(fd, level, option, &value, (uint)sizeof(T)));
}
