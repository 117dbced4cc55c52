using System.Globalization;
using Dst.IO.Memory;
using Xunit;

namespace Dst.IO.Tests;

/// <summary>Memory of requests as the kernel sees it (U-08, U-57).</summary>
public sealed class NativeBlockTests
{
    [Theory]
    [InlineData(1, true)]
    [InlineData((3 * NativeBlock.PageBytes) + 1, true)]
    [InlineData(2 << 20, true)]
    [InlineData(2 << 20, false)]
    public void A_block_is_aligned_populated_and_locked_when_asked(int lengthBytes, bool locked)
    {
        using NativeBlock block = NativeBlock.Allocate(lengthBytes, "test", locked);
        Assert.Equal(0, block.Address % NativeBlock.PageBytes);
        Assert.InRange((long)block.LengthBytes, lengthBytes, lengthBytes + NativeBlock.PageBytes - 1);
        Assert.Equal(0u, block.LengthBytes % NativeBlock.PageBytes);
        List<Mapping> mappings = Mapping.Of(block.Address, (nint)block.LengthBytes);
        Assert.NotEmpty(mappings);
        Assert.All(mappings, mapping =>
        {
            // Blocks side by side, all of one kind, may be one mapping.
            Assert.Equal(mapping.SizeBytes, mapping.RssBytes);
            Assert.Equal(locked ? mapping.SizeBytes : 0, mapping.LockedBytes);
            Assert.Equal(locked, mapping.Flags.Contains("lo", StringComparer.Ordinal));
            Assert.Contains("dd", mapping.Flags, StringComparer.Ordinal); // left out of core dumps
            Assert.Contains("dc", mapping.Flags, StringComparer.Ordinal); // not copied by fork
        });
        Assert.Equal(-1, block.AsSpan().IndexOfAnyExcept((byte)0));
    }

    /// <summary>What /proc/self/smaps says of one mapping.</summary>
    private sealed record Mapping(long SizeBytes, long RssBytes, long LockedBytes, string[] Flags)
    {
        public static List<Mapping> Of(nint address, nint lengthBytes)
        {
            List<Mapping> found = [];
            bool isIn = false;
            Dictionary<string, string> fields = new(StringComparer.Ordinal);
            foreach (string line in File.ReadLines("/proc/self/smaps"))
            {
                int colon = line.IndexOf(':', StringComparison.Ordinal);
                if (!char.IsAsciiLetterUpper(line[0]))
                {
                    long[] ends =
                        [.. line.Split(' ')[0].Split('-').Select(end => Convert.ToInt64(end, fromBase: 16))];
                    isIn = ends[0] < address + lengthBytes && address < ends[1];
                    fields.Clear();
                    continue;
                }

                fields[line[..colon]] = line[(colon + 1)..].Trim();
                if (isIn && line.StartsWith("VmFlags:", StringComparison.Ordinal))
                {
                    found.Add(new Mapping(
                        Bytes(fields["Size"]), Bytes(fields["Rss"]), Bytes(fields["Locked"]),
                        fields["VmFlags"].Split(' ')));
                }
            }

            return found;
        }

        private static long Bytes(string kib) => 1024 * long.Parse(kib.Split(' ')[0], CultureInfo.InvariantCulture);
    }
}
