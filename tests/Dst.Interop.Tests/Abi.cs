using System.Globalization;

namespace Dst.Interop.Tests;

/// <summary>One fact: <c>const NAME</c>, <c>size STRUCT</c>, <c>offset STRUCT.MEMBER</c> or <c>width STRUCT.MEMBER</c>.</summary>
/// <param name="Value">Null where the headers lack the name.</param>
/// <param name="Since">First kernel that has the name, where it is newer than the whole list.</param>
internal sealed record AbiFact(long? Value, Version? Since);

/// <summary>What the probe printed, or the committed copy of it.</summary>
internal sealed record AbiList(Version Kernel, IReadOnlyDictionary<string, AbiFact> Facts)
{
    internal static AbiList Parse(IEnumerable<string> lines)
    {
        Version? kernel = null;
        Dictionary<string, AbiFact> facts = new(StringComparer.Ordinal);
        foreach (string line in lines.Where(l => l.Length > 0 && l[0] != '#'))
        {
            string[] words = line.Split(' ');
            if (words is ["version", "linux", var version])
            {
                kernel = Version.Parse(version);
                continue;
            }

            if (words.Length is < 3 or > 4 || words[0] is not ("const" or "size" or "offset" or "width"))
            {
                throw new FormatException($"not a line of the list: {line}");
            }

            long? value = words[2] is "absent" ? null : long.Parse(words[2], CultureInfo.InvariantCulture);
            facts.Add($"{words[0]} {words[1]}", new(value, words.Length == 4 ? Version.Parse(words[3]) : null));
        }

        return new(kernel ?? throw new FormatException("the list names no version"), facts);
    }
}

internal static class AbiComparer
{
    /// <summary>What C# says against the list; every fact of C# must be in it.</summary>
    internal static List<string> CompareMirror(IEnumerable<KeyValuePair<string, long>> mirror, AbiList list) =>
        [.. from fact in mirror
            let found = list.Facts.GetValueOrDefault(fact.Key)
            where found?.Value != fact.Value
            let there = found is null ? "the list lacks it" : $"the list says {found.Value}"
            select $"{fact.Key}: C# says {fact.Value}, {there}"];

    /// <summary>The committed list against what the headers at hand say.</summary>
    internal static List<string> CompareLists(AbiList committed, AbiList fresh)
    {
        List<string> differences = [];
        foreach (string name in committed.Facts.Keys.Union(fresh.Facts.Keys, StringComparer.Ordinal))
        {
            AbiFact? old = committed.Facts.GetValueOrDefault(name);
            AbiFact? now = fresh.Facts.GetValueOrDefault(name);
            if (old is null || now is null)
            {
                differences.Add($"{name}: only the {(old is null ? "probe" : "table")} has it");
            }
            else if (now.Value is null && fresh.Kernel >= (old.Since ?? committed.Kernel))
            {
                differences.Add($"{name}: the table says {old.Value}, the headers of {fresh.Kernel} lack it");
            }
            else if (now.Value is not null && now.Value != old.Value && !MayHaveChanged(name, committed, fresh))
            {
                differences.Add($"{name}: the table says {old.Value}, the headers of {fresh.Kernel} {now.Value}");
            }
        }

        return differences;
    }

    // Kernels append members and split reserved ones, so in older headers sizes differ; values and places never do.
    private static bool MayHaveChanged(string name, AbiList committed, AbiList fresh) =>
        fresh.Kernel < committed.Kernel
        && (name.StartsWith("size ", StringComparison.Ordinal) || name.StartsWith("width ", StringComparison.Ordinal));
}
