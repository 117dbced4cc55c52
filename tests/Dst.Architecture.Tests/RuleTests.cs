using System.Text.RegularExpressions;

namespace Dst.Architecture.Tests;

/// <summary>
/// No rule of the sessions goes unchecked: each has a broken variant that the simulator must find, whose summary cites
/// it, or stands here with the tests that hold what no variant of the core can break.
/// </summary>
public sealed partial class RuleTests
{
    private const string Rules = "docs/hazards.md";
    private const string Variants = "src/Dst.Core/Mutation.cs";

    /// <summary>
    /// The simulated peers are honest and the kernel is one: the rest is tested with real sockets and files.
    /// </summary>
    private static readonly Dictionary<string, string[]> Elsewhere = new(StringComparer.Ordinal)
    {
        // Frames out of order.
        ["S-01"] =
        [
            "tests/Dst.Core.Tests/Sessions/ServerConnectionTests.cs",
            "tests/Dst.Core.Tests/Sessions/ServerLaneTests.cs",
            "tests/Dst.Core.Tests/Sessions/Client/HostileHandshakeTests.cs", "tests/Dst.Net.Tests/HostileTests.cs",
        ],

        // The kernel's lock, which the simulated disk has by itself.
        ["S-09"] = ["tests/e2e/safety.sh", "tests/e2e/network.sh", "tests/Dst.Core.Tests/Sessions/ExportModelTests.cs"],

        // Replies that nobody asked for, and requests that are damaged on purpose.
        ["S-14"] = ["tests/Dst.Net.Tests/Client/HostileServerTests.cs", "tests/Dst.Net.Tests/Fuzz/StreamFuzzTests.cs"],

        // Places and bytes before ATTACH.
        ["S-32"] = ["tests/Dst.Core.Tests/Sessions/ServerConnectionTests.cs", "tests/Dst.Net.Tests/HostileTests.cs"],

        // Damage twice in a row at one request.
        ["S-33"] = ["tests/Dst.Net.Tests/Client/DamageTests.cs"],
    };

    [Fact]
    public void NoRuleGoesUnchecked()
    {
        string[] rules = [.. RulesOf(Repository.Find(Rules))];
        Assert.True(rules.Length >= 24, $"{Rules} has only {rules.Length} rules");
        Assert.Empty(Unchecked(rules, Repository.Find(Variants)));
    }

    [Fact]
    public void ARuleWithoutACheckIsFound()
    {
        RepositoryFile variants = new(Variants, "/// <summary>No drain (S-05).</summary>\nNoDrain,\n");
        Assert.Equal("S-06", Assert.Single(Unchecked(["S-05", "S-06", "S-09"], variants)));
    }

    [Fact]
    public void WhatIsCheckedElsewhereCitesItsRule() => Assert.Empty(
        Elsewhere.SelectMany(static entry => entry.Value
            .Where(path => !Repository.Find(path).Text.Contains(entry.Key, StringComparison.Ordinal))
            .Select(path => $"{path} does not cite {entry.Key}")));

    private static IEnumerable<string> RulesOf(RepositoryFile document) =>
        Heading().Matches(document.Text).Select(match => match.Groups["id"].Value);

    private static List<string> Unchecked(IEnumerable<string> rules, RepositoryFile variants)
    {
        HashSet<string> broken = new(
            Citation().Matches(variants.Text).Select(match => match.Value), StringComparer.Ordinal);
        return [.. rules.Where(rule => !broken.Contains(rule) && !Elsewhere.ContainsKey(rule))];
    }

    [GeneratedRegex(
        @"^## (?<id>S-[0-9]{2})\b",
        RegexOptions.ExplicitCapture | RegexOptions.Multiline,
        matchTimeoutMilliseconds: 10_000)]
    private static partial Regex Heading();

    [GeneratedRegex(@"\bS-[0-9]{2}\b", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 10_000)]
    private static partial Regex Citation();
}
