using System.Text.RegularExpressions;

namespace Dst.Architecture.Tests;

/// <summary>
/// docs/hazards.md explains every hazard number that the code cites, and every rule of the ublk driver and of sessions;
/// each of these is cited where the code obeys it, or its entry says why there is no such place.
/// </summary>
public sealed partial class HazardTests
{
    private const string Document = "docs/hazards.md";

    /// <summary>Begins the sentence of an entry that says why nothing cites it.</summary>
    private const string NoPlace = "No code cites it: ";

    /// <summary>Numbers between the two runs were never given.</summary>
    private static readonly IEnumerable<string> RulesOfUblk =
        Enumerable.Range(1, 13).Concat(Enumerable.Range(20, 10)).Select(number => $"U-{number:D2}");

    /// <summary>Numbers between the three runs were never given.</summary>
    private static readonly IEnumerable<string> RulesOfSessions =
        Enumerable.Range(1, 15).Concat(Enumerable.Range(20, 5)).Concat(Enumerable.Range(30, 4))
            .Select(number => $"S-{number:D2}");

    /// <summary>Code that looks for broken rules, or breaks them for tests, cites them without obeying them.</summary>
    private static readonly IEnumerable<RepositoryFile> ObeyingCode = Repository.Sources.Where(
        file => !file.IsIn("src/Dst.Simulation", "src/Dst.Sim")
            && file.Path is not ("src/Dst.Core/Mutation.cs" or "src/Dst.Hosting/ForcedCollections.cs"));

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
    public void EveryRuleHasAnEntry() =>
        Assert.Empty(
            RulesOfUblk.Concat(RulesOfSessions)
                .Except(Entries(Repository.Find(Document)).Keys, StringComparer.Ordinal));

    [Fact]
    public void EveryRuleIsCitedWhereTheCodeObeysIt() =>
        Assert.Empty(Unobeyed(RulesOfUblk.Concat(RulesOfSessions), ObeyingCode, Repository.Find(Document)));

    [Fact]
    public void ARuleThatNoCodeCitesIsFound()
    {
        RepositoryFile code = new("src/X.cs", "// obeys U-01");
        RepositoryFile document = new(
            Document,
            $"## U-01\n\nA.\n\n## U-02\n\nB.\n\n## U-03\n\nC. {NoPlace}it never happens.\n\n## U-04\n\n{NoPlace}.\n");
        Assert.Equal(["U-02", "U-04"], Unobeyed(["U-01", "U-02", "U-03", "U-04"], [code], document));
        Assert.Equal(
            ["U-01: cited, although its entry says that there is no place"],
            Unobeyed(["U-01"], [code], new RepositoryFile(Document, $"## U-01\n\n{NoPlace}it never happens.\n")));
    }

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

    private static List<string> Unobeyed(
        IEnumerable<string> rules, IEnumerable<RepositoryFile> code, RepositoryFile document)
    {
        HashSet<string> cited = [.. code.SelectMany(Cited)];
        IReadOnlyDictionary<string, string> entries = Entries(document);
        List<string> found = [];
        foreach (string rule in rules)
        {
            bool excused = entries.TryGetValue(rule, out string? entry) && Excuse().IsMatch(entry);
            if (cited.Contains(rule) == excused)
            {
                found.Add(excused ? $"{rule}: cited, although its entry says that there is no place" : rule);
            }
        }

        return found;
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
        NoPlace + @"\w[^.]{10,}\.", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 10_000)]
    private static partial Regex Excuse();

    [GeneratedRegex(
        @"^## (?<id>[A-Z]-[0-9]{2})\b.*$",
        RegexOptions.ExplicitCapture | RegexOptions.Multiline,
        matchTimeoutMilliseconds: 10_000)]
    private static partial Regex EntryHeading();
}
