using System.Buffers.Binary;
using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Interop;

namespace Dst.Net.Server;

/// <summary>Where hold records live (S-03). Used by the keeper thread; reads happen before an export is made.</summary>
public interface IHoldStore
{
    /// <summary>What is on disk about an export.</summary>
    /// <param name="export">Its name.</param>
    /// <param name="record">The record; default for an export that has none.</param>
    /// <returns>Null, or why the record cannot be used, one line: such an export must not be served (S-02).</returns>
    string? Read(string export, out HoldRecord record);

    /// <summary>Makes a record durable: when this returns 0 it survives a power cut.</summary>
    /// <param name="export">Name of the export.</param>
    /// <param name="record">What to keep.</param>
    /// <returns>0 or -errno; then the old record is still there.</returns>
    int Write(string export, in HoldRecord record);

    /// <summary>Forgets an export that is removed for good.</summary>
    /// <param name="export">Its name.</param>
    void Delete(string export);
}

/// <summary>
/// Hold records as files of one folder, NAME.hold: written beside, synced, renamed, folder synced, so that a power cut leaves the old record or
/// the new one (S-03).
/// </summary>
/// <param name="folder">The folder; it exists.</param>
public sealed class FileHoldStore(string folder) : IHoldStore
{
    /// <summary>Length of a record.</summary>
    public const int RecordBytes = 512;

    /// <summary>Newest format that is understood.</summary>
    public const uint FormatVersion = 1;

    private const ulong Magic = 0x31444c4f48545344; // "DSTHOLD1"
    private const uint Mode = 0x180; // 0600
    private const int NameAt = 96;
    private const int ChecksumAt = RecordBytes - sizeof(uint);

    /// <inheritdoc/>
    public string? Read(string export, out HoldRecord record)
    {
        record = default;
        string path = PathOf(export);
        byte[] bytes;
        try
        {
            bytes = File.ReadAllBytes(path);
        }
        catch (FileNotFoundException)
        {
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return $"{path}: the hold record cannot be read: {e.Message}";
        }

        return TryDecode(bytes, out record)
            ? null
            : $"{path}: the hold record is damaged or of a newer version; who held the export is not known, "
            + "so it cannot be served: restore the file, or remove the export and make it anew";
    }

    /// <inheritdoc/>
    public int Write(string export, in HoldRecord record)
    {
        Span<byte> bytes = stackalloc byte[RecordBytes];
        Encode(in record, bytes);
        string path = PathOf(export);
        string temporary = path + ".new";
        int fd = Libc.Open(
            temporary, LinuxAbi.O_WRONLY | LinuxAbi.O_CREAT | LinuxAbi.O_TRUNC | LinuxAbi.O_NOFOLLOW | LinuxAbi.O_CLOEXEC, Mode);
        if (fd < 0)
        {
            return fd;
        }

        long written = Libc.Pwrite(fd, bytes, 0);
        int error = written == RecordBytes ? Libc.Fsync(fd) : written < 0 ? (int)written : -Errno.ENOSPC;
        _ = Libc.Close(fd);
        error = error < 0 ? error : Libc.Renameat(LinuxAbi.AT_FDCWD, temporary, LinuxAbi.AT_FDCWD, path);
        return error < 0 ? error : SyncFolder();
    }

    /// <inheritdoc/>
    public void Delete(string export)
    {
        File.Delete(PathOf(export));
        _ = SyncFolder();
    }

    /// <summary>Writes a record.</summary>
    internal static void Encode(in HoldRecord record, Span<byte> bytes)
    {
        bytes.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, Magic);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[8..], FormatVersion);
        bytes[12] = (byte)((record.Held ? 1 : 0) | (record.MixedWriters ? 2 : 0));
        bytes[13] = (byte)record.HolderName.LengthBytes;
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[16..], record.Granted);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[24..], record.Used);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[32..], record.First);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[40..], record.Incarnation);
        BinaryPrimitives.WriteUInt128BigEndian(bytes[48..], record.Holder.Uuid);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[64..], record.Holder.NodeIndex);
        record.HolderName.Utf8.CopyTo(bytes[NameAt..]);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[ChecksumAt..], DataChecksum.Crc32C(bytes[..ChecksumAt]));
    }

    /// <summary>Reads a record; any bytes.</summary>
    internal static bool TryDecode(ReadOnlySpan<byte> bytes, out HoldRecord record)
    {
        record = default;
        if (bytes.Length != RecordBytes
            || BinaryPrimitives.ReadUInt64LittleEndian(bytes) != Magic
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]) != FormatVersion
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes[ChecksumAt..]) != DataChecksum.Crc32C(bytes[..ChecksumAt])
            || bytes[13] > WireLimits.TextMaxBytes)
        {
            return false;
        }

        record = new HoldRecord
        {
            Held = (bytes[12] & 1) != 0,
            MixedWriters = (bytes[12] & 2) != 0,
            Granted = BinaryPrimitives.ReadUInt64LittleEndian(bytes[16..]),
            Used = BinaryPrimitives.ReadUInt64LittleEndian(bytes[24..]),
            First = BinaryPrimitives.ReadUInt64LittleEndian(bytes[32..]),
            Incarnation = BinaryPrimitives.ReadUInt64LittleEndian(bytes[40..]),
            Holder = new DeviceId(
                BinaryPrimitives.ReadUInt128BigEndian(bytes[48..]), BinaryPrimitives.ReadUInt32LittleEndian(bytes[64..])),
            HolderName = new WireText(bytes.Slice(NameAt, bytes[13])),
        };
        return true;
    }

    private int SyncFolder()
    {
        int fd = Libc.Open(folder, LinuxAbi.O_RDONLY | LinuxAbi.O_DIRECTORY | LinuxAbi.O_CLOEXEC);
        if (fd < 0)
        {
            return fd;
        }

        int error = Libc.Fsync(fd);
        _ = Libc.Close(fd);
        return error;
    }

    private string PathOf(string export) => Path.Join(folder, export + ".hold");
}
