using System.Text.RegularExpressions;

namespace Dst.Architecture.Tests;

/// <summary>
/// docs/hazards.md explains every hazard number that the code cites, and every rule of the ublk driver.
/// </summary>
public sealed partial class HazardTests
{
    private const string Document = "docs/hazards.md";

    /// <summary>Numbers between the two runs were never given.</summary>
    private static readonly IEnumerable<string> RulesOfUblk =
        Enumerable.Range(1, 13).Concat(Enumerable.Range(20, 10)).Select(number => $"U-{number:D2}");

    [Fact]
    public void EveryCitedNumberHasAnEntry()
    {
        List<RepositoryFile> citing =
            [.. Repository.Files.Where(file => file.IsIn("src", "native", "tests", "scripts"))];
        Assert.True(
            citing.SelectMany(Cited).Distinct(StringComparer.Ordinal).Count() > 40, "the search finds too few numbers");
        Assert.Empty(Unexplained(citing, Repository.Find(Document)));
    }

    [Fact]
    public void ANumberWithoutAnEntryIsFound()
    {
        // Put together, so that this file does not cite it.
        string unknown = "U-" + "99";
        RepositoryFile code = new("src/X.cs", $"// obeys {unknown} and U-01");
        Assert.Equal([$"{unknown} (src/X.cs)"], Unexplained([code], Repository.Find(Document)));
        Assert.Empty(Unexplained([code], new RepositoryFile(Document, $"## U-01\n\nA.\n\n## {unknown}\n\nB.\n")));
        Assert.NotEmpty(Unexplained([code], new RepositoryFile(Document, $"## U-01\n\nSee {unknown}.\n")));
    }

    [Fact]
    public void EveryRuleOfUblkHasAnEntry() =>
        Assert.Empty(RulesOfUblk.Except(Entries(Repository.Find(Document)).Keys, StringComparer.Ordinal));

    [Fact]
    public void EntriesSaySomethingAndStandInOrder()
    {
        IReadOnlyDictionary<string, string> entries = Entries(Repository.Find(Document));
        Assert.All(entries, entry => Assert.True(entry.Value.Trim().Length > 40, $"{entry.Key} says nothing"));
        string[] numbers =
            [.. EntryHeading().Matches(Repository.Find(Document).Text).Select(match => match.Groups["id"].Value)];
        Assert.Equal([.. numbers.Order(StringComparer.Ordinal)], numbers);
    }

    [Fact]
    public void AnEmptyEntryIsFound() =>
        Assert.Equal("", Entries(new RepositoryFile(Document, "## U-01\n\n## U-02\n\nText.\n"))["U-01"].Trim());

    private static IEnumerable<string> Cited(RepositoryFile file) =>
        Number().Matches(file.Text).Select(match => match.Value);

    private static List<string> Unexplained(IEnumerable<RepositoryFile> citing, RepositoryFile document)
    {
        IReadOnlyDictionary<string, string> entries = Entries(document);
        return
        [
            .. from file in citing
               from number in Cited(file).Distinct(StringComparer.Ordinal)
               where !entries.ContainsKey(number)
               select $"{number} ({file.Path})",
        ];
    }

    private static Dictionary<string, string> Entries(RepositoryFile document)
    {
        MatchCollection headings = EntryHeading().Matches(document.Text);
        Dictionary<string, string> entries = new(StringComparer.Ordinal);
        for (int i = 0; i < headings.Count; i++)
        {
            int begin = headings[i].Index + headings[i].Length;
            int end = i + 1 < headings.Count ? headings[i + 1].Index : document.Text.Length;
            entries.Add(headings[i].Groups["id"].Value, document.Text[begin..end]);
        }

        return entries;
    }

    [GeneratedRegex(@"\b[CUNMDS]-[0-9]{2}\b", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 10_000)]
    private static partial Regex Number();

    [GeneratedRegex(
        @"^## (?<id>[A-Z]-[0-9]{2})\b.*$",
        RegexOptions.ExplicitCapture | RegexOptions.Multiline,
        matchTimeoutMilliseconds: 10_000)]
    private static partial Regex EntryHeading();
}
