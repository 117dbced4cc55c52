using System.Runtime.InteropServices;
using Xunit;

namespace Dst.Interop.Tests;

/// <summary>Negative controls: each kind of mistake must be reported, by name.</summary>
public sealed class AbiComparerTests
{
    private static readonly AbiList List = AbiList.Parse(
        """
        # comment
        version linux 7.3.4
        const A 2
        const HIGH -1
        const LATER 5 7.4
        size thing 8
        offset thing.first 0
        width thing.first 4
        offset thing.second 4
        width thing.second 4
        """.Split('\n'));

    [Theory]
    [InlineData(typeof(RightConstants))]
    [InlineData(typeof(RightThing))]
    public void What_agrees_is_silent(Type type) => Assert.Empty(Compare(type));

    [Theory]
    [InlineData(typeof(WrongConstant), "const A: C# says 32, the list says 2")]
    [InlineData(typeof(UnknownConstant), "const B: C# says 2, the list lacks it")]
    [InlineData(typeof(LongThing), "size thing: C# says 12, the list says 8")]
    [InlineData(typeof(ShiftedThing), "offset thing.second: C# says 2, the list says 4")]
    [InlineData(typeof(NarrowThing), "width thing.second: C# says 2, the list says 4")]
    [InlineData(typeof(UnknownMember), "offset thing.third: C# says 4, the list lacks it")]
    public void A_mistake_in_the_library_is_reported(Type type, string expected) =>
        Assert.Contains(expected, Compare(type), StringComparer.Ordinal);

    [Theory]
    [InlineData("7.3.4", "const A 3", "const A: the table says 2, the headers of 7.3.4 3")]
    [InlineData("7.3.4", "const A absent", "const A: the table says 2, the headers of 7.3.4 lack it")]
    [InlineData("7.4.0", "const LATER absent", "const LATER: the table says 5, the headers of 7.4.0 lack it")]
    [InlineData("6.1.0", "offset thing.second 2", "offset thing.second: the table says 4, the headers of 6.1.0 2")]
    [InlineData("6.1.0", "const A 3", "const A: the table says 2, the headers of 6.1.0 3")]
    [InlineData("7.3.4", "width thing.first 8", "width thing.first: the table says 4, the headers of 7.3.4 8")]
    [InlineData("7.3.4", "size thing 4", "size thing: the table says 8, the headers of 7.3.4 4")]
    [InlineData("7.3.4", "const NEW 1", "const NEW: only the probe has it")]
    public void A_mistake_in_the_table_is_reported(string version, string line, string expected) =>
        Assert.Equal([expected], AbiComparer.CompareLists(List, Fresh(version, line)));

    [Theory]
    [InlineData("7.3.4", "const A 2")]
    [InlineData("7.3.4", "const LATER absent")]
    [InlineData("6.1.0", "const A absent")]
    [InlineData("6.1.0", "size thing 4")]
    [InlineData("6.1.0", "width thing.second 8")]
    public void What_older_headers_lack_is_no_mistake(string version, string line) =>
        Assert.Empty(AbiComparer.CompareLists(List, Fresh(version, line)));

    [Fact]
    public void A_name_that_the_probe_forgot_is_reported()
    {
        AbiList fresh = Fresh("7.3.4", "const A 2");
        AbiList shorter = fresh with { Facts = fresh.Facts.Where(f => f.Key is not "const A").ToDictionary() };

        Assert.Equal(["const A: only the table has it"], AbiComparer.CompareLists(List, shorter));
    }

    private static List<string> Compare(Type type) => AbiComparer.CompareMirror(AbiMirror.Of([type]), List);

    /// <summary>The list as headers of that version would give it, with one line put in or exchanged.</summary>
    private static AbiList Fresh(string version, string line)
    {
        AbiList changed = AbiList.Parse([$"version linux {version}", line]);
        Dictionary<string, AbiFact> facts = new(List.Facts, StringComparer.Ordinal);
        foreach ((string name, AbiFact fact) in changed.Facts)
        {
            facts[name] = fact;
        }

        return new(changed.Kernel, facts);
    }

    private static class RightConstants
    {
        public const int A = 2;
        public const ulong HIGH = ulong.MaxValue;
    }

    private static class WrongConstant
    {
        public const uint A = 1u << 5;
    }

    private static class UnknownConstant
    {
        public const int B = 2;
    }

#pragma warning disable CS0649, CA1823, IDE0051 // only their layout counts
    [NativeName("thing")]
    private struct RightThing
    {
        [NativeName("first")] public uint First;
        [NativeName("second")] public uint Second;
    }

    [NativeName("thing")]
    private struct LongThing
    {
        [NativeName("first")] public uint First;
        [NativeName("second")] public uint Second;
        [NativeName("second")] public uint Third;
    }

    [NativeName("thing")]
    [StructLayout(LayoutKind.Explicit, Pack = 1)]
    private struct ShiftedThing
    {
        [FieldOffset(0), NativeName("first")] public uint First;
        [FieldOffset(2), NativeName("second")] public uint Second;
    }

    [NativeName("thing")]
    private struct NarrowThing
    {
        [NativeName("first")] public uint First;
        [NativeName("second")] public ushort Second;
    }

    [NativeName("thing")]
    private struct UnknownMember
    {
        [NativeName("first")] public uint First;
        [NativeName("third")] public uint Third;
    }
}
