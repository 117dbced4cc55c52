using System.ComponentModel;
using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Dst.Architecture.Tests;

/// <summary>Scripts are bash and pass shellcheck; no file names a place or host that only one machine knows.</summary>
public sealed partial class ScriptTests
{
    private const UnixFileMode Executable = UnixFileMode.UserExecute;

    private static readonly string[] Shebangs = ["#!/usr/bin/env bash", "#!/bin/bash"];

    /// <summary>Runs before bash is there: the first process of a guest.</summary>
    private static readonly string[] ForOtherShells = ["scripts/lib/guest-init.sh"];

    /// <summary>Where people get the SDK, and names that lead to sockets and to nowhere.</summary>
    private static readonly string[] HostsAllowed = ["dot.net", "d", "dstd", "127.0.0.1", "localhost"];

    [Fact]
    public void EveryScriptIsBash()
    {
        Assert.True(Repository.Scripts.Count() > 5, "the search finds too few scripts");
        Assert.Empty(Repository.Scripts.Where(file => !HasShell(file, IsExecutable(file))).Select(file => file.Path));
    }

    [Theory]
    [InlineData("#!/bin/sh\necho\n", true)]
    [InlineData("echo\n", true)]
    [InlineData("# shellcheck shell=bash\necho\n", true)]
    [InlineData("echo\n", false)]
    public void AScriptOfAnotherShellIsFound(string text, bool executable) =>
        Assert.False(HasShell(new RepositoryFile("scripts/x.sh", text), executable));

    [Fact]
    public void EveryScriptPassesShellcheck()
    {
        Assert.SkipUnless(HasShellcheck(), "shellcheck is not installed: apt-get install shellcheck");
        Assert.Equal("", Shellcheck([.. Repository.Scripts.Select(file => file.Path)]));
    }

    [Fact]
    public void AFaultyScriptDoesNotPassShellcheck()
    {
        Assert.SkipUnless(HasShellcheck(), "shellcheck is not installed: apt-get install shellcheck");
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, "#!/bin/bash\nrm $1\n");
            Assert.Contains("SC2086", Shellcheck([path]), StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void NoFileNamesABuildMachineOrAPackageHost() =>
        Assert.Empty(Repository.Files.SelectMany(ForeignPlaces));

    [Theory]
    [InlineData("/wo", "rk/main")]
    [InlineData("/tmp/w", "t/docs")]
    [InlineData("https:/", "/packages.example/v3/index.json")]
    [InlineData("deb deb.deb", "ian.org/debian")]
    [InlineData("api.nu", "get.org")]
    [InlineData("http:/", "/10.0.0.7:3128/proxy")]
    [InlineData("registry.np", "mjs.org")]
    public void AForeignPlaceIsFound(string first, string second) =>
        Assert.NotEmpty(ForeignPlaces(new RepositoryFile("x", $"text {first}{second} text")));

    [Theory]
    [InlineData("the network/workshop, a/wo", "rk/b.c and http://dstd/")]
    [InlineData("install it from https://dot.net", ", then")]
    public void OtherPlacesAreFine(string first, string second) =>
        Assert.Empty(ForeignPlaces(new RepositoryFile("x", first + second)));

    private static bool IsExecutable(RepositoryFile file) =>
        (File.GetUnixFileMode(Repository.FullPath(file.Path)) & Executable) != UnixFileMode.None;

    /// <summary>What is sourced needs no shebang, but tells shellcheck its shell.</summary>
    private static bool HasShell(RepositoryFile file, bool executable) =>
        Shebangs.Contains(file.Lines[0], StringComparer.Ordinal)
        || ForOtherShells.Contains(file.Path, StringComparer.Ordinal)
        || (!executable && file.Lines[0].StartsWith("# shellcheck shell=bash", StringComparison.Ordinal));

    private static bool HasShellcheck()
    {
        try
        {
            ProcessStartInfo start = new("shellcheck", "--version")
            {
                RedirectStandardOutput = true,
                UseShellExecute = false,
            };
            using Process process = Process.Start(start)!;
            process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (Win32Exception)
        {
            return false;
        }
    }

    private static string Shellcheck(string[] paths)
    {
        ProcessStartInfo start = new("shellcheck", ["-x", "-f", "gcc", .. paths])
        {
            WorkingDirectory = Repository.Root,
            RedirectStandardOutput = true,
            UseShellExecute = false,
        };
        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? "" : $"{output}shellcheck ended with {process.ExitCode}";
    }

    private static IEnumerable<string> ForeignPlaces(RepositoryFile file)
    {
        foreach (Match match in BuildMachine().Matches(file.Text))
        {
            yield return $"{file.Path}: {match.Value}";
        }

        foreach (Match match in PackageHost().Matches(file.Text))
        {
            yield return $"{file.Path}: {match.Value}";
        }

        foreach (Match match in Url().Matches(file.Text))
        {
            if (!HostsAllowed.Contains(match.Groups["host"].Value, StringComparer.OrdinalIgnoreCase))
            {
                yield return $"{file.Path}: {match.Value}";
            }
        }
    }

    [GeneratedRegex(@"(?<![\w.])/(work|tmp/wt)(/|\b)", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 10_000)]
    private static partial Regex BuildMachine();

    [GeneratedRegex(
        @"\b[\w.-]*(nuget|debian|npmjs|pypi|ubuntu|fedoraproject|alpinelinux)\.(org|com)\b",
        RegexOptions.ExplicitCapture | RegexOptions.IgnoreCase,
        matchTimeoutMilliseconds: 10_000)]
    private static partial Regex PackageHost();

    [GeneratedRegex(@"\bhttps?://(?<host>[\w.-]*\w)", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 10_000)]
    private static partial Regex Url();
}
