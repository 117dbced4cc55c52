namespace Dst.Cli.Tests;

public sealed class UsageTests
{
    private static readonly string[] Verbs =
        ["add-device", "remove-device", "list", "status", "clear-error", "features", "doctor", "completion"];

    public static TheoryData<string> Wrong => new(
        string.Empty,
        "frob",
        "--frob",
        "list extra",
        "list --frob",
        "list --run-dir",
        "add-device",
        "add-device disk1",
        "add-device --node zero:1G",
        "add-device disk1 --node",
        "add-device disk1 --node zero:1G --frob",
        "add-device disk1 --node zero:1G --id -1",
        "add-device disk1 --node zero:1G --id 1048576",
        "add-device disk1 --node zero:1G --id 1 --id 2",
        "add-device disk1 --node zero:1G --queues 0",
        "add-device disk1 --node zero:1G --queues x",
        "add-device disk1 --node zero:1G --depth 5000",
        "add-device disk1 --node zero:1G --depth 1.5",
        "add-device disk1 --node zero:1G --max-io -1",
        "add-device disk1 --node zero:1G --max-io 9999999T",
        "add-device disk1 --node zero:1G --max-io 1.5x",
        "add-device disk1 --node zero:1G --max-io 4G",
        "add-device disk1 --node zero:1G --max-io 0",
        "add-device disk1 --node zero:1G --block-size 1024",
        "add-device disk1 --node zero:1G --memory lots",
        "add-device disk1 --node zero:1G --timeout 0",
        "add-device disk1 --node frob:/a",
        "add-device disk1 --node nokind",
        "add-device disk1 --node zero:1G,frob=1",
        "add-device disk1 --node zero:-1",
        "add-device disk1 --node zero:9999999T",
        "add-device disk1 --node zero:1.5x",
        "add-device ../disk --node zero:1G",
        "add-device a/b --node zero:1G",
        "add-device .. --node zero:1G",
        "add-device -- -x --node zero:1G",
        "remove-device",
        "remove-device a/b",
        "remove-device disk1 --timeout x",
        "add-export pool",
        "add-export pool --node zero:1G --cache maybe",
        "add-export pool --node zero:1G --listen --allow",
        "add-export a/b --node zero:1G",
        "remove-export",
        "release-export pool x",
        "suspend-node disk1",
        "suspend-node disk1 64",
        "fail-node disk1 -1",
        "set-node disk1 0",
        "set-node disk1 0 connections=4",
        "set-node disk1 0 deadline=soon",
        "set-node disk1 0 retries",
        "set-node disk1 0 deadline=3s,on-timeout=error",
        "set-node disk1 0 retries=3,connections=8",
        "set-node disk1 0 deadline=0 deadline=3s",
        "set-node disk1 0 on-timeout=error on-timeout=error",
        "remove-device disk1 disk2",
        "status a/b",
        "status disk1 disk2",
        "clear-error",
        "clear-error disk1 -1",
        "clear-error disk1 64",
        "clear-error disk1 one",
        "completion",
        "completion csh");

    [Theory]
    [MemberData(nameof(Wrong))]
    public async Task AWrongLineIsToldInOneLineAndSendsNothing(string line)
    {
        await using var daemon = new FakeDaemon(_ => throw new InvalidOperationException("nothing may be sent"));
        string[] args = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        // Asks for the instance by variable, so that the line stays as it is.
        var setting = Setting.ByVariable(daemon.RunPath);
        (await Cli.RunAsync(setting, args)).FailsWith(2);
        Assert.Empty(daemon.Requests);
    }

    [Fact]
    public async Task TooManyNodesAndTooLongNamesAreTold()
    {
        string[] nodes = [.. Enumerable.Repeat("zero:1G", 65)];
        Outcome tooMany = (await Cli.RunAsync(new Setting(), ["add-device", "disk1", "--node", .. nodes])).FailsWith(2);
        Assert.Contains("64", tooMany.Error, StringComparison.Ordinal);
        (await Cli.RunAsync(new Setting(), "add-device", new string('a', 300), "--node", "zero:1G")).FailsWith(2);
    }

    [Fact]
    public async Task ControlCharactersOfTheLineDoNotReachTheTerminal()
    {
        Outcome outcome = (await Cli.RunAsync(new Setting(), "status", "a\u001b[2J\nb")).FailsWith(2);
        Assert.DoesNotContain("\u001b", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ARunDirectoryTooLongForASocketIsTold()
    {
        Outcome outcome = await Cli.RunAsync(new Setting { RunPath = $"/tmp/{new string('x', 100)}" }, "list");
        Assert.Contains("107", outcome.FailsWith(2).Error, StringComparison.Ordinal);
        (await Cli.RunAsync(new Setting { RunPath = string.Empty }, "list")).FailsWith(2);
    }

    [Fact]
    public async Task HelpNamesEveryVerbAndExitCodes()
    {
        string help = (await Cli.RunAsync(new Setting(), "--help")).Succeeds();
        Assert.All(Verbs, verb => Assert.Contains($"  {verb}", help, StringComparison.Ordinal));
        Assert.All(Enumerable.Range(0, 7), code => Assert.Contains($"\n  {code}    ", help, StringComparison.Ordinal));
        Assert.Contains("DST_RUN_DIR", help, StringComparison.Ordinal);
    }

    [Fact]
    public async Task EveryVerbHasHelpWithExamplesThatParse()
    {
        foreach (string verb in Verbs)
        {
            string help = (await Cli.RunAsync(new Setting(), verb, "--help")).Succeeds();
            string[] examples = help[help.IndexOf("Examples:", StringComparison.Ordinal)..].Split('\n');
            string[] plain = [.. examples.Select(e => e.Trim()).Where(e =>
                e.StartsWith("dstctl ", StringComparison.Ordinal) && e.IndexOfAny(['|', '>', '$']) < 0)];
            Assert.True(plain.Length > 0 || verb is "completion", $"{verb}: {help}");
            foreach (string example in plain)
            {
                // Nothing answers there: whatever gets beyond the parser ends with another code than 2.
                var setting = new Setting { RunPath = "/nonexistent" };
                Outcome outcome = await Cli.RunAsync(setting, example.Split(' ')[1..]);
                Assert.True(outcome.ExitCode is 0 or 1 or 4, $"{example}: {outcome.Error}");
            }
        }
    }

    [Fact]
    public async Task VersionIsOneLine() =>
        Assert.Matches(@"\Adstctl \d+\.\d+\.\d+\n\z", (await Cli.RunAsync(new Setting(), "--version")).Succeeds());
}
