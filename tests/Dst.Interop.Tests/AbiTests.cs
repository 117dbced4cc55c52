using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using Xunit;

namespace Dst.Interop.Tests;

public sealed class AbiTests
{
    private const int ProbeTimeoutMs = 5 * 60 * 1000;

    private static readonly bool IsX64 = RuntimeInformation.ProcessArchitecture == Architecture.X64;
    private static readonly string Root = FindRoot();
    private static readonly AbiList Committed =
        AbiList.Parse(File.ReadLines(Path.Combine(Root, "tests/Dst.Interop.Tests/abi-table.txt")));

    [Fact]
    public void Every_name_of_the_library_agrees_with_the_table()
    {
        KeyValuePair<string, long>[] mirror = [.. AbiMirror.Of(AbiMirror.Types)];

        AssertNone(AbiComparer.CompareMirror(mirror, Committed));
        Assert.True(mirror.Length > 1000, $"reflection found only {mirror.Length} facts");
    }

    [Fact]
    public void Every_line_of_the_table_is_used_by_the_library()
    {
        HashSet<string> mirrored =
            AbiMirror.Of(AbiMirror.Types).Select(f => f.Key).ToHashSet(StringComparer.Ordinal);

        // The command area has no width in C; the O_ flags that differ are looked at on x86-64 only.
        bool IsExempt(string name) =>
            name is "width io_uring_sqe.cmd"
            || (!IsX64 && name.StartsWith("const O_", StringComparison.Ordinal));

        Assert.DoesNotContain(Committed.Facts.Keys, name => !mirrored.Contains(name) && !IsExempt(name));
    }

    [Fact]
    public void Every_structure_and_field_says_what_it_mirrors()
    {
        Type[] structures =
            [.. AbiMirror.Types.Where(t => t is { IsValueType: true, IsNested: false, IsEnum: false })];

        Assert.NotEmpty(structures);
        Assert.DoesNotContain(structures, t => t.GetCustomAttribute<NativeNameAttribute>() is null);
        Assert.DoesNotContain(
            structures.SelectMany(AbiMirror.Fields), f => f.GetCustomAttribute<NativeNameAttribute>() is null);
    }

    [Fact]
    public async Task The_newest_headers_at_hand_agree_with_the_table()
    {
        Assert.SkipUnless(IsX64, "the table is that of x86-64, this machine is something else");
        Assert.SkipUnless(HasCompiler(), "no C compiler on this machine (Debian package gcc)");

        AbiList fresh = await RunProbeAsync();

        TestContext.Current.TestOutputHelper?.WriteLine($"headers of Linux {fresh.Kernel}, table of {Committed.Kernel}");
        AssertNone(AbiComparer.CompareLists(Committed, fresh));
        Assert.Equal(Committed.Facts.Count, fresh.Facts.Count);
    }

    [Fact]
    public void Error_names_are_unique_and_right()
    {
        Dictionary<string, int> named = AbiMirror.ConstantFields(typeof(Errno))
            .ToDictionary(f => f.Name, f => (int)f.GetRawConstantValue()!, StringComparer.Ordinal);
        string[] second = ["EWOULDBLOCK", "EDEADLOCK", "ENOTSUP"];

        Assert.All(named.Where(e => !second.Contains(e.Key)), e => Assert.Equal(e.Key, Errno.Name(e.Value)));
        Assert.All(named.Keys, name => Assert.Equal(Committed.Facts[$"const {name}"].Value, named[name]));
        Assert.Equal(named.Count - second.Length, named.Values.Distinct().Count());
    }

    // Assert.Empty would cut the sentences short.
    private static void AssertNone(List<string> differences) =>
        Assert.True(differences.Count == 0, string.Join('\n', differences));

    private static string FindRoot()
    {
        DirectoryInfo? directory = new(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Dst.Ublk.sln")))
        {
            directory = directory.Parent;
        }

        return directory?.FullName ?? throw new DirectoryNotFoundException("these tests run inside the repository");
    }

    private static bool HasCompiler()
    {
        string compiler = Environment.GetEnvironmentVariable("CC") ?? "cc";
        return Path.IsPathRooted(compiler)
            ? File.Exists(compiler)
            : (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':')
                .Any(directory => File.Exists(Path.Combine(directory, compiler)));
    }

    private static async Task<AbiList> RunProbeAsync()
    {
        using CancellationTokenSource limit =
            CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(ProbeTimeoutMs);
        ProcessStartInfo start = new("/bin/bash", [Path.Combine(Root, "scripts/abi.sh")])
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        try
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync(limit.Token);
            Task<string> errors = process.StandardError.ReadToEndAsync(limit.Token);
            await process.WaitForExitAsync(limit.Token);
            Assert.True(process.ExitCode == 0, await errors);
            return AbiList.Parse((await output).Split('\n'));
        }
        finally
        {
            if (!process.HasExited)
            {
                process.Kill(entireProcessTree: true);
            }
        }
    }
}
