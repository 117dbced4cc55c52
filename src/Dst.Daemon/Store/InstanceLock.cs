using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Dst.Control;
using Dst.Daemon.Kernel;
using Microsoft.Win32.SafeHandles;

namespace Dst.Daemon.Store;

/// <summary>
/// Keeps a second daemon off one directory for the life of this process (D-05). The kernel drops it with the process,
/// however that ends.
/// </summary>
internal sealed class InstanceLock : IDisposable
{
    private const int MaxPidBytes = 16;

    private readonly SafeFileHandle _file;

    private InstanceLock(SafeFileHandle file) => _file = file;

    /// <summary>Takes the lock.</summary>
    /// <param name="path">The lock file; made when absent, never removed.</param>
    /// <exception cref="ControlException">Another daemon has it.</exception>
    public static InstanceLock Take(string path)
    {
        // Not by the class library, which takes a lock of its own on what it opens.
        SafeFileHandle file = Native.OpenFile(path, Native.OpenReadWrite | Native.OpenCreate);
        if (file.IsInvalid)
        {
            throw new IOException($"{path}: {Native.LastErrorText()}");
        }

        if (Native.Lock(file, Native.LockExclusive | Native.LockNonBlocking) != 0)
        {
            string why = Marshal.GetLastPInvokeError() == Native.ErrorWouldBlock
                ? $"another dstd{OwnerOf(file)} holds it; choose another --run-dir and --state-dir"
                : Native.LastErrorText();
            file.Dispose();
            throw new ControlException(ControlErrorCode.Busy, $"{path} cannot be locked: {why}");
        }

        RandomAccess.SetLength(file, 0);
        string owner = string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessId}\n");
        RandomAccess.Write(file, Encoding.ASCII.GetBytes(owner), 0);
        return new(file);
    }

    /// <summary>Who has a lock: a process that keeps it for its life.</summary>
    /// <param name="path">The lock file.</param>
    /// <returns>Null when nobody has it; else " (pid N)", or nothing when the owner is not told.</returns>
    /// <exception cref="IOException">It cannot be told.</exception>
    public static string? HeldBy(string path)
    {
        if (!File.Exists(path))
        {
            return null;
        }

        using SafeFileHandle file = Native.OpenFile(path, Native.OpenReadOnly);
        if (file.IsInvalid)
        {
            throw new IOException($"{path}: {Native.LastErrorText()}");
        }

        if (Native.Lock(file, Native.LockShared | Native.LockNonBlocking) == 0)
        {
            return null;
        }

        return Marshal.GetLastPInvokeError() == Native.ErrorWouldBlock
            ? OwnerOf(file)
            : throw new IOException($"{path}: {Native.LastErrorText()}");
    }

    /// <summary>Gives it back.</summary>
    public void Dispose() => _file.Dispose();

    private static string OwnerOf(SafeFileHandle file)
    {
        byte[] text = new byte[MaxPidBytes];
        int length = RandomAccess.Read(file, text, 0);
        return length == 0 ? "" : $" (pid {Encoding.ASCII.GetString(text, 0, length).Trim()})";
    }
}
