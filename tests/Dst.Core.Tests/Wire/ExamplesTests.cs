using System.Runtime.CompilerServices;
using System.Text;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests.Wire;

/// <summary>The examples of docs/protocol.md are what the codec writes, byte for byte.</summary>
public sealed class ExamplesTests
{
    private const int BytesPerLine = 32;

    /// <summary>The examples as they stand in the document; long bodies are cut there, as here.</summary>
    private static string Document()
    {
        StringBuilder text = new();
        foreach ((string name, byte[] bytes) in Samples.Frames())
        {
            bool isLong = name.StartsWith("REQUEST write", StringComparison.Ordinal);
            int shown = int.Min(bytes.Length, isLong ? 96 : 4096);
            string cut = bytes.Length > shown ? $", {bytes.Length} bytes, all further ones 5a" : "";
            text.Append(name).Append(cut).Append("\n\n");
            for (int at = 0; at < shown; at += BytesPerLine)
            {
                text.Append("    ");
                for (int i = at; i < int.Min(at + BytesPerLine, shown); i++)
                {
                    text.Append(i == at ? "" : i % 8 == 0 ? "  " : " ").Append(Convert.ToHexStringLower([bytes[i]]));
                }

                text.Append('\n');
            }

            text.Append('\n');
        }

        return text.ToString().TrimEnd() + "\n";
    }

    [Fact]
    public void Examples_of_the_document_are_true()
    {
        string page = File.ReadAllText(Path.Combine(Root(), "docs", "protocol.md"));
        int start = page.IndexOf("HELLO of a client\n\n", StringComparison.Ordinal);
        Assert.True(start > 0, "docs/protocol.md has no examples; they should be:\n" + Document());
        Assert.Equal(Document(), page[start..]);
    }

    /// <summary>Every kind, code and status has its line in the tables.</summary>
    [Fact]
    public void Numbers_of_the_document_are_those_of_the_code()
    {
        string page = File.ReadAllText(Path.Combine(Root(), "docs", "protocol.md"));
        foreach (FrameKind kind in Enum.GetValues<FrameKind>().Where(kind => kind != FrameKind.None))
        {
            string name = string.Concat(
                kind.ToString().Select((c, i) => char.IsUpper(c) && i > 0 ? "_" + c : c.ToString()));
            Assert.Contains($"| {(int)kind} | {name.ToUpperInvariant()} |", page, StringComparison.Ordinal);
        }

        foreach (RefusalCode code in Enum.GetValues<RefusalCode>().Where(code => code != RefusalCode.None))
        {
            string again = RefusalTable.RetryOf(code).ToString().ToLowerInvariant();
            Assert.Matches($@"(?m)^\| {(int)code} \| .* \| {again} \|$", page);
        }

        foreach (TlvType type in Enum.GetValues<TlvType>().Where(type => type != TlvType.None))
        {
            string number = (int)type < 0x8000 ? $"{(int)type}" : $"{(int)type:X}h";
            Assert.Matches($@"(?m)^\| {number} [a-z ]+\| ", page);
        }
    }

    private static string Root([CallerFilePath] string path = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, "..", "..", ".."));
}
