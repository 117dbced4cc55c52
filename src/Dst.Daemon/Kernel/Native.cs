using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Dst.Daemon.Kernel;

/// <summary>
/// The few system calls that the class library does not offer. Any thread; errors by
/// <see cref="Marshal.GetLastPInvokeError"/>.
/// </summary>
internal static class Native
{
    internal const int OpenReadOnly = 0;
    internal const int OpenReadWrite = 2;
    internal const int OpenCreate = 0x40;
    internal const int OpenDirectory = 0x10000;
    internal const int OpenCloseOnExec = 0x80000;
    internal const int LockShared = 1;
    internal const int LockExclusive = 2;
    internal const int LockNonBlocking = 4;
    internal const short PollIn = 1;
    internal const int SignalKill = 9;
    internal const int ErrorInterrupted = 4;
    internal const int ErrorWouldBlock = 11;

    private const string LibC = "libc.so.6";
    private const int PrivateMode = 0x180;
    private const int CallPidfdSendSignal = 424;
    private const int CallPidfdOpen = 434;
    private const int AtCurrentDirectory = -100;
    private const int StatxDontSync = 0x4000;
    private const uint StatxBasic = 0x7ff;
    private const int StatxSizeBytes = 256;
    private const int StatxOwnerOffset = 20;
    private const int StatxModeOffset = 28;
    private const int StatxRdevOffset = 128;
    private const int ModeTypeMask = 0xf000;
    private const int ModeBlockDevice = 0x6000;

    [DllImport(LibC, EntryPoint = "umask")]
    internal static extern int SetUmask(int mask);

    [DllImport(LibC, EntryPoint = "geteuid")]
    internal static extern uint EffectiveUser();

    [DllImport(LibC, EntryPoint = "flock", SetLastError = true)]
    internal static extern int Lock(SafeFileHandle file, int operation);

    [DllImport(LibC, EntryPoint = "link", SetLastError = true)]
    internal static extern int HardLink(
        [MarshalAs(UnmanagedType.LPUTF8Str)] string existing, [MarshalAs(UnmanagedType.LPUTF8Str)] string created);

    [DllImport(LibC, EntryPoint = "poll", SetLastError = true)]
    internal static extern int Poll([In, Out] PollEntry[] entries, nuint count, int timeoutMs);

    [DllImport(LibC, EntryPoint = "open", SetLastError = true)]
    private static extern int Open([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags, int mode);

    [DllImport(LibC, EntryPoint = "dup2", SetLastError = true)]
    private static extern int Duplicate(int from, int to);

    [DllImport(LibC, EntryPoint = "fsync", SetLastError = true)]
    private static extern int Sync(SafeFileHandle file);

    [DllImport(LibC, EntryPoint = "syscall", SetLastError = true)]
    private static extern nint Call(nint number, nint first, nint second, nint third, nint fourth);

    [DllImport(LibC, EntryPoint = "statx", SetLastError = true)]
    private static extern int Statx(
        int directory, [MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags, uint mask, [Out] byte[] result);

    /// <summary>Opens with close-on-exec added; what it creates is private.</summary>
    internal static SafeFileHandle OpenFile(string path, int flags) =>
        new(Open(path, flags | OpenCloseOnExec, PrivateMode), ownsHandle: true);

    /// <summary>Makes a rename, link or removal in a folder durable (D-01).</summary>
    internal static void SyncDirectory(string path)
    {
        using SafeFileHandle folder = OpenFile(path, OpenReadOnly | OpenDirectory);
        if (folder.IsInvalid || Sync(folder) != 0)
        {
            throw new IOException($"{path}: {LastErrorText()}");
        }
    }

    /// <summary>Gives this process and its children an empty standard input.</summary>
    internal static void EmptyStandardInput()
    {
        using SafeFileHandle none = OpenFile("/dev/null", OpenReadWrite);
        if (none.IsInvalid || Duplicate((int)none.DangerousGetHandle(), 0) < 0)
        {
            throw new IOException($"/dev/null: {LastErrorText()}");
        }
    }

    /// <summary>
    /// A handle of a process that no later process of that number can take over (D-04); invalid when there is none.
    /// </summary>
    internal static SafeFileHandle OpenProcess(int pid) => new(Call(CallPidfdOpen, pid, 0, 0, 0), ownsHandle: true);

    /// <summary>Sends a signal; false when the process has ended.</summary>
    internal static bool SendSignal(SafeFileHandle process, int signal)
    {
        // Whoever watches the process closes the handle when it ends; the number may be another file's by then.
        bool held = false;
        try
        {
            process.DangerousAddRef(ref held);
            return Call(CallPidfdSendSignal, process.DangerousGetHandle(), signal, 0, 0) == 0;
        }
        catch (ObjectDisposedException)
        {
            return false;
        }
        finally
        {
            if (held)
            {
                process.DangerousRelease();
            }
        }
    }

    /// <summary>
    /// Device number "major:minor" of a block special file, null for anything else. Asks no server and no disk
    /// (AT_STATX_DONT_SYNC), so that a dead file system behind somebody's descriptor cannot hold the caller.
    /// </summary>
    internal static string? BlockDeviceNumber(string path)
    {
        byte[] result = new byte[StatxSizeBytes];
        if (Statx(AtCurrentDirectory, path, StatxDontSync, StatxBasic, result) != 0
            || (BitConverter.ToUInt16(result, StatxModeOffset) & ModeTypeMask) != ModeBlockDevice)
        {
            return null;
        }

        uint major = BitConverter.ToUInt32(result, StatxRdevOffset);
        uint minor = BitConverter.ToUInt32(result, StatxRdevOffset + sizeof(uint));
        return $"{major}:{minor}";
    }

    /// <summary>Number of the user whose file or directory that is; null when it cannot be told.</summary>
    internal static uint? OwnerOf(string path)
    {
        byte[] result = new byte[StatxSizeBytes];
        return Statx(AtCurrentDirectory, path, StatxDontSync, StatxBasic, result) == 0
            ? BitConverter.ToUInt32(result, StatxOwnerOffset)
            : null;
    }

    /// <summary>Text of the last failed call.</summary>
    internal static string LastErrorText() => Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError());

    [StructLayout(LayoutKind.Sequential)]
    internal struct PollEntry
    {
        public int File;
        public short Events;
        public short Returned;
    }
}
