using Dst.Core.Wire;

namespace Dst.Net.Client.Lanes;

/// <summary>
/// What stands for the checksums that a change was sent with, while a copy of its data is in the replay log (N-25). Not
/// the table itself: one of the longest write would be 2 KiB.
/// </summary>
/// <param name="Kind">Kind of the table; <see cref="ChecksumKind.None"/> says nothing of the data.</param>
/// <param name="Sum">XXH3 of the table.</param>
internal readonly record struct LogSum(ChecksumKind Kind, ulong Sum)
{
    /// <summary>The sum of a table.</summary>
    /// <param name="kind">Its kind.</param>
    /// <param name="table">The table.</param>
    public static LogSum Of(ChecksumKind kind, ReadOnlySpan<byte> table)
    {
        Span<byte> sum = stackalloc byte[sizeof(ulong)];
        int bytes = DataChecksum.TableBytes(ChecksumKind.Xxh3, table.Length);
        DataChecksum.WriteTable(ChecksumKind.Xxh3, table, sum[..bytes]);
        return new LogSum(kind, BitConverter.ToUInt64(sum));
    }
}
