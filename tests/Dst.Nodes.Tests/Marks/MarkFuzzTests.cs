using System.Buffers.Binary;
using System.Numerics;
using Dst.Net.Tests.Fuzz;
using Dst.Nodes.Marks;
using Xunit;

namespace Dst.Nodes.Tests.Marks;

/// <summary>Any bytes in place of a mark: what is not sound counts as poisoned, and nothing is thrown (C-16).</summary>
public sealed class MarkFuzzTests
{
    private const int ChecksumAt = NodeMarks.RecordBytes - sizeof(uint);

    [Fact]
    public void Marks() => Fuzzer.Run(
        "node-mark",
        input =>
        {
            NodeMark mark = NodeMarks.Decode(input, 0, out uint newer);
            bool right = input.Length == NodeMarks.RecordBytes
                && BinaryPrimitives.ReadUInt32LittleEndian(input[ChecksumAt..]) == Crc32C(input[..ChecksumAt]);
            if (newer != 0)
            {
                Assert.True(right && newer > NodeMarks.FormatVersion && mark.IsPoisoned, $"{mark}");
                return 1;
            }

            Assert.True(right || mark.IsDamaged, $"a wrong checksum is believed: {mark}");
            Assert.True(mark.IsPoisoned || !mark.IsDamaged, $"a damaged record is no good node: {mark}");
            return mark.IsDamaged ? 2 : 0;
        },
        input =>
        {
            Array.Resize(ref input, NodeMarks.RecordBytes);
            BinaryPrimitives.WriteUInt32LittleEndian(input.AsSpan(ChecksumAt), Crc32C(input.AsSpan(0, ChecksumAt)));
            return input;
        });

    private static uint Crc32C(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte b in data)
        {
            crc = BitOperations.Crc32C(crc, b);
        }

        return ~crc;
    }
}
