using System.Runtime.InteropServices;
using System.Text;
using Dst.Interop;

namespace Dst.Ublk.Control;

/// <summary>What ADD_DEV asks for.</summary>
public readonly record struct UblkDeviceSpec
{
    /// <summary>Number N of /dev/ublkbN, or -1 for the first free one.</summary>
    public required int Id { get; init; }

    /// <summary>Hardware queues.</summary>
    public required int Queues { get; init; }

    /// <summary>Tags per queue.</summary>
    public required int DepthTags { get; init; }

    /// <summary>Largest request.</summary>
    public required int MaxIoBytes { get; init; }

    /// <summary>UBLK_F_* that the device must have.</summary>
    public required ulong Flags { get; init; }
}

/// <summary>What the kernel says of a device.</summary>
/// <param name="Id">Number N.</param>
/// <param name="State">UBLK_S_DEV_*.</param>
/// <param name="Pid">Server's process id as given at START; may be dead and reused (U-29).</param>
/// <param name="Flags">UBLK_F_* in force.</param>
/// <param name="IsDst">Made by a DST target (D-03).</param>
/// <param name="Maker">Process that made it, when it is DST's: also known before START and after its end.</param>
public readonly record struct UblkDeviceInfo(int Id, int State, int Pid, ulong Flags, bool IsDst, UblkMaker Maker);

/// <summary>
/// The commands of the ublk driver, each bounded in time. Any thread; not on the road of a request. A failure is a
/// <see cref="UblkException"/> with the command, the device and the reason in one line.
/// </summary>
public sealed class UblkControl : IDisposable
{
    /// <summary>Commands that change no state answer at once.</summary>
    public const int QueryTimeoutMs = 10_000;

    /// <summary>DEL waits for the last opener's close (U-22).</summary>
    public const int LifecycleTimeoutMs = 30_000;

    /// <summary>
    /// START reads the partition table through our own queues (U-25); longer than the caller takes to fail those reads.
    /// </summary>
    public const int StartTimeoutMs = 45_000;

    /// <summary>
    /// Upper half of ublksrv_flags, which the kernel returns verbatim: "DST" and the version of what it means (D-03).
    /// The lower half is the <see cref="UblkMaker"/>.
    /// </summary>
    public const uint OwnerTag = 0x4453_5401;

    private const int OwnerTagShift = 32;

    private readonly IControlChannel _channel;
    private ulong? _features;

    /// <summary>Opens the control device.</summary>
    /// <exception cref="UblkException">There is none, or no right to it.</exception>
    public UblkControl()
        : this(new ControlThread())
    {
    }

    /// <summary>Sends the commands over another channel.</summary>
    internal UblkControl(IControlChannel channel) => _channel = channel;

    /// <summary>Path of the character device of a device.</summary>
    public static string CharPath(int id) => $"/dev/ublkc{id}";

    /// <summary>Path of the block device of a device.</summary>
    public static string BlockPath(int id) => $"/dev/ublkb{id}";

    /// <summary>Feature bits of the driver (GET_FEATURES, Linux 6.5).</summary>
    public ulong Features => _features ??= ReadFeatures();

    /// <summary>
    /// Makes a device that is not yet visible as a disk. Flags are read back: the kernel masks what it does not know
    /// (U-11).
    /// </summary>
    public UblkDeviceInfo Add(in UblkDeviceSpec spec)
    {
        ThrowIfMissing(Features, spec.Flags);
        UblkCtrlDevInfo wanted = new()
        {
            NrHwQueues = checked((ushort)spec.Queues),
            QueueDepth = checked((ushort)spec.DepthTags),
            MaxIoBufBytes = (uint)spec.MaxIoBytes,
            DevId = (uint)spec.Id,
            UblksrvPid = Environment.ProcessId,
            Flags = spec.Flags,
            UblksrvFlags = ((ulong)OwnerTag << OwnerTagShift) | UblkMaker.Self.ToWord(),
        };
        UblkCtrlDevInfo got = default;
        UblkCtrlCmd command = new() { DevId = (uint)spec.Id, QueueId = ushort.MaxValue };
        int result = _channel.Execute(
            UblkAbi.UBLK_U_CMD_ADD_DEV,
            command,
            Marshal.SizeOf<UblkCtrlDevInfo>(),
            payload => MemoryMarshal.Write(payload, wanted),
            payload => got = MemoryMarshal.Read<UblkCtrlDevInfo>(payload),
            LifecycleTimeoutMs);
        string device = spec.Id < 0 ? "a new device" : $"device {spec.Id}";
        ThrowIfFailed(
            result,
            "ADD_DEV",
            device,
            result == -Errno.EEXIST ? "; that id is taken, choose another or leave --id out" : string.Empty);

        if ((got.Flags & spec.Flags) != spec.Flags || got.NrHwQueues != spec.Queues
            || got.QueueDepth != spec.DepthTags || got.MaxIoBufBytes < spec.MaxIoBytes)
        {
            Delete((int)got.DevId);
            ThrowIfMissing(got.Flags, spec.Flags);
            throw new UblkException(
                0,
                $"ublk: the kernel changed what was asked for: flags 0x{got.Flags:x} of 0x{spec.Flags:x}, "
                + $"{got.NrHwQueues} queues of {spec.Queues} (at most one for each processor), "
                + $"depth {got.QueueDepth} of {spec.DepthTags}, {got.MaxIoBufBytes} bytes of {spec.MaxIoBytes}");
        }

        return Describe(got);
    }

    /// <summary>
    /// Sets the parameters of a device before START and reads them back: a kernel that drops a part which it does not
    /// know must not serve a disk of another size, or one that is never flushed (U-11).
    /// </summary>
    /// <exception cref="UblkException">The kernel refused them, or took others.</exception>
    public void SetParameters(int id, UblkParams parameters)
    {
        parameters.Len = (uint)Marshal.SizeOf<UblkParams>();
        int result = _channel.Execute(
            UblkAbi.UBLK_U_CMD_SET_PARAMS,
            ForDevice(id),
            Marshal.SizeOf<UblkParams>(),
            payload => MemoryMarshal.Write(payload, parameters),
            null,
            QueryTimeoutMs);
        ThrowIfFailed(result, "SET_PARAMS", $"device {id}", string.Empty);
        if (DeviceParameters.Difference(parameters, GetParameters(id)) is { } difference)
        {
            throw new UblkException(
                0, $"ublk: the kernel changed the parameters of device {id}: {difference}; use another kernel");
        }
    }

    /// <summary>
    /// Shows the disk. Every queue must be serving already: the kernel waits for all fetches (U-04) and reads the
    /// partition table through them (U-25). It is told this process, which has opened the character device (U-29).
    /// </summary>
    public void Start(int id)
    {
        UblkCtrlCmd command = ForDevice(id) with { Data = (ulong)Environment.ProcessId };
        int result = _channel.Execute(UblkAbi.UBLK_U_CMD_START_DEV, command, 0, null, null, StartTimeoutMs);
        ThrowIfFailed(result, "START_DEV", $"device {id}", string.Empty);
    }

    /// <summary>
    /// Takes the disk away. The kernel writes its dirty pages back first and waits for every started request (U-21,
    /// U-23), so queues serve until this returns. A stopped device can only be deleted (U-24).
    /// </summary>
    public void Stop(int id, int timeoutMs)
    {
        int result = _channel.Execute(UblkAbi.UBLK_U_CMD_STOP_DEV, ForDevice(id), 0, null, null, timeoutMs);
        ThrowIfFailed(result, "STOP_DEV", $"device {id}", string.Empty);
    }

    /// <summary>
    /// Deletes a device. Waits for the last user of its character device (U-22): our queues must have let go of it.
    /// </summary>
    public void Delete(int id)
    {
        int result = _channel.Execute(UblkAbi.UBLK_U_CMD_DEL_DEV, ForDevice(id), 0, null, null, LifecycleTimeoutMs);
        ThrowIfFailed(result, "DEL_DEV", $"device {id}", string.Empty);
    }

    /// <summary>What the kernel knows of a device (GET_DEV_INFO2), or null when there is none.</summary>
    public UblkDeviceInfo? TryGetInfo(int id)
    {
        byte[] path = Encoding.ASCII.GetBytes(CharPath(id));
        int infoBytes = Marshal.SizeOf<UblkCtrlDevInfo>();
        UblkCtrlDevInfo info = default;
        UblkCtrlCmd command = ForDevice(id) with { DevPathLen = (ushort)(path.Length + 1) };
        int result = _channel.Execute(
            UblkAbi.UBLK_U_CMD_GET_DEV_INFO2,
            command,
            path.Length + 1 + infoBytes,
            payload => path.CopyTo(payload),
            payload => info = MemoryMarshal.Read<UblkCtrlDevInfo>(payload[(path.Length + 1)..]),
            QueryTimeoutMs);
        if (result is -Errno.ENODEV or -Errno.ENOENT or -Errno.EINVAL)
        {
            return null;
        }

        ThrowIfFailed(result, "GET_DEV_INFO2", $"device {id}", string.Empty);
        return Describe(info);
    }

    /// <summary>Ends the control thread, unless a command still sleeps in the kernel.</summary>
    public void Dispose() => _channel.Dispose();

    private static UblkCtrlCmd ForDevice(int id) => new() { DevId = (uint)id, QueueId = ushort.MaxValue };

    private static UblkDeviceInfo Describe(in UblkCtrlDevInfo info) => new(
        (int)info.DevId,
        info.State,
        info.UblksrvPid,
        info.Flags,
        info.UblksrvFlags >> OwnerTagShift == OwnerTag,
        UblkMaker.FromWord((uint)info.UblksrvFlags));

    private static void ThrowIfMissing(ulong features, ulong needed)
    {
        if (UblkFeatures.Missing(features, needed) is { } missing)
        {
            throw new UblkException(
                Errno.EOPNOTSUPP, $"ublk: this kernel lacks {missing}; boot that version or a newer one");
        }
    }

    private static void ThrowIfFailed(int result, string command, string device, string hint)
    {
        if (result == -Errno.ETIMEDOUT)
        {
            string late = $"ublk: {command} of {device} got no answer from the kernel in time; see dmesg";
            throw new UblkException(Errno.ETIMEDOUT, late) { TimedOut = true };
        }

        if (result < 0)
        {
            string advice = result == -Errno.EPERM ? "; CAP_SYS_ADMIN is needed, run as root" : hint;
            throw new UblkException(-result, $"ublk: {command} of {device} failed: {Errno.Describe(-result)}{advice}");
        }
    }

    /// <summary>Parameters as the kernel holds them.</summary>
    private UblkParams GetParameters(int id)
    {
        UblkParams got = default;
        int result = _channel.Execute(
            UblkAbi.UBLK_U_CMD_GET_PARAMS,
            ForDevice(id),
            Marshal.SizeOf<UblkParams>(),
            payload => BitConverter.TryWriteBytes(payload, (uint)payload.Length),
            payload => got = MemoryMarshal.Read<UblkParams>(payload),
            QueryTimeoutMs);
        ThrowIfFailed(result, "GET_PARAMS", $"device {id}", string.Empty);
        return got;
    }

    private ulong ReadFeatures()
    {
        ulong features = 0;
        int result = _channel.Execute(
            UblkAbi.UBLK_U_CMD_GET_FEATURES,
            new UblkCtrlCmd { DevId = uint.MaxValue, QueueId = ushort.MaxValue },
            UblkAbi.UBLK_FEATURES_LEN,
            null,
            payload => features = BitConverter.ToUInt64(payload),
            QueryTimeoutMs);
        ThrowIfFailed(
            result,
            "GET_FEATURES",
            "the driver",
            result == -Errno.EOPNOTSUPP ? "; Linux 6.12 or newer is needed" : string.Empty);
        return features;
    }
}
