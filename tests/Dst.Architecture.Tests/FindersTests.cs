using System.Text.RegularExpressions;

namespace Dst.Architecture.Tests;

/// <summary>The table of docs/simulation.md that says what finds each rule broken is the truth.</summary>
public sealed partial class FindersTests
{
    private const string Rules = "docs/hazards.md";
    private const string Variants = "src/Dst.Core/Mutation.cs";

    private static ILookup<string, string> Table => Row().Matches(Repository.Find("docs/simulation.md").Text)
        .SelectMany(static row => row.Groups["names"].Value.Split(", ")
            .Select(name => (Rule: row.Groups["id"].Value, Name: name.Trim())))
        .ToLookup(static row => row.Rule, static row => row.Name, StringComparer.Ordinal);

    [Fact]
    public void EveryRuleStandsInTheTable() => Assert.Equal(
        Heading().Matches(Repository.Find(Rules).Text).Select(static match => match.Groups["id"].Value)
            .Order(StringComparer.Ordinal),
        Table.Select(static row => row.Key).Order(StringComparer.Ordinal));

    [Fact]
    public void EveryNameIsAVariantAScenarioOrATest() => Assert.DoesNotContain(
        Table.SelectMany(static row => row), static name => !Exists(name));

    [Fact]
    public void EveryVariantStandsAtTheRulesThatItCites() => Assert.DoesNotContain(
        Cited(), static item => !Table[item.Rule].Contains(item.Variant, StringComparer.Ordinal));

    private static IEnumerable<(string Rule, string Variant)> Cited() =>
        Variant().Matches(Repository.Find(Variants).Text).SelectMany(static match =>
            Citation().Matches(match.Groups["summary"].Value).Select(rule => (rule.Value, match.Groups["name"].Value)));

    private static bool Exists(string name) =>
        name.StartsWith("tests/", StringComparison.Ordinal) ? Repository.Files.Any(file => file.Path == name)
        : char.IsUpper(name[0]) ? Repository.Find(Variants).Text.Contains($"    {name},", StringComparison.Ordinal)
        : Repository.Sources.Any(file => file.Path.StartsWith("src/Dst.Simulation/Scenarios", StringComparison.Ordinal)
            && file.Text.Contains($"\"{name}\",", StringComparison.Ordinal));

    [GeneratedRegex(
        @"^\| (?<id>S-[0-9]{2}) \| (?<names>[^|]+) \|$",
        RegexOptions.ExplicitCapture | RegexOptions.Multiline,
        matchTimeoutMilliseconds: 10_000)]
    private static partial Regex Row();

    [GeneratedRegex(
        @"^## (?<id>S-[0-9]{2})\b",
        RegexOptions.ExplicitCapture | RegexOptions.Multiline,
        matchTimeoutMilliseconds: 10_000)]
    private static partial Regex Heading();

    [GeneratedRegex(
        @"<summary>(?<summary>[^<]*)</summary>\s+(?<name>[A-Za-z]+),",
        RegexOptions.ExplicitCapture,
        matchTimeoutMilliseconds: 10_000)]
    private static partial Regex Variant();

    [GeneratedRegex(@"\bS-[0-9]{2}\b", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 10_000)]
    private static partial Regex Citation();
}
