using System.Diagnostics;
using System.Globalization;
using CsCheck;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests.Wire;

public sealed class DataChecksumTests
{
    private static readonly ChecksumKind[] Kinds = [ChecksumKind.Crc32C, ChecksumKind.Xxh3];

    [Theory]
    [InlineData(1, 1)]
    [InlineData(65536, 1)]
    [InlineData(65537, 2)]
    [InlineData(16 * 1024 * 1024, 256)]
    public void There_is_one_checksum_for_each_chunk(int dataBytes, int chunks)
    {
        Assert.Equal(0, DataChecksum.TableBytes(ChecksumKind.None, dataBytes));
        Assert.Equal(4 * chunks, DataChecksum.TableBytes(ChecksumKind.Crc32C, dataBytes));
        Assert.Equal(8 * chunks, DataChecksum.TableBytes(ChecksumKind.Xxh3, dataBytes));
        Assert.True(DataChecksum.BodyBytes(ChecksumKind.Xxh3, dataBytes) <= WireLimits.BodyMaxBytes);
    }

    [Fact]
    public void A_flipped_bit_is_found_in_its_chunk()
    {
        byte[] data = new byte[3 * WireLimits.ChunkBytes - 512];
        new Random(1).NextBytes(data);
        foreach (ChecksumKind kind in Kinds)
        {
            byte[] table = new byte[DataChecksum.TableBytes(kind, data.Length)];
            DataChecksum.WriteTable(kind, data, table);
            Assert.Equal(-1, DataChecksum.FindMismatch(kind, data, table));
            for (int at = 0; at < data.Length; at += 4999)
            {
                data[at] ^= 1;
                Assert.Equal(at / WireLimits.ChunkBytes, DataChecksum.FindMismatch(kind, data, table));
                data[at] ^= 1;
            }

            table[^1] ^= 0x80;
            Assert.Equal(2, DataChecksum.FindMismatch(kind, data, table));
            Assert.Equal(0, DataChecksum.FindMismatch(kind, data, table.AsSpan(1)));
        }

        Assert.Equal(-1, DataChecksum.FindMismatch(ChecksumKind.None, data, []));
    }

    [Fact]
    public void Crc32c_is_the_same_by_any_road() =>
        Gen.Byte.Array[0, 9000].Sample(
            data =>
            {
                uint crc = uint.MaxValue;
                foreach (byte b in data)
                {
                    crc ^= b;
                    for (int bit = 0; bit < 8; bit++)
                    {
                        crc = (crc >> 1) ^ (0x82F63B78 & (0 - (crc & 1)));
                    }
                }

                Assert.Equal(~crc, DataChecksum.Crc32C(data));
            },
            iter: 200);

    /// <summary>Prints what the choice of the default rests on. Run it alone, in Release.</summary>
    [Fact(Explicit = true)]
    public void Speed_of_the_kinds()
    {
        foreach (int lengthBytes in (int[])[4096, 1 << 20])
        {
            byte[] data = new byte[lengthBytes];
            new Random(1).NextBytes(data);
            foreach (ChecksumKind kind in Kinds)
            {
                byte[] table = new byte[DataChecksum.TableBytes(kind, lengthBytes)];
                double best = 0;
                for (int round = 0; round < 8; round++)
                {
                    int turns = (256 << 20) / lengthBytes;
                    long start = Stopwatch.GetTimestamp();
                    for (int turn = 0; turn < turns; turn++)
                    {
                        DataChecksum.WriteTable(kind, data, table);
                    }

                    double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
                    best = double.Max(best, (double)turns * lengthBytes / seconds / 1e9);
                }

                TestContext.Current.TestOutputHelper?.WriteLine(
                    string.Create(CultureInfo.InvariantCulture, $"{kind} {lengthBytes}: {best:F1} GB/s"));
            }
        }
    }
}
