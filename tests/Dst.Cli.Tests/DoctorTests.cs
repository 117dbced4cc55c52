using System.Text.Json;
using Dst.Control;

namespace Dst.Cli.Tests;

public sealed class DoctorTests
{
    private const string Release = "6.12.9-test";

    [Fact]
    public async Task AHostThatHasAllIsHealthy()
    {
        using var host = new FakeHost();
        await using FakeDaemon daemon = Daemon();
        string output = (await RunAsync(host, daemon)).Succeeds();
        Assert.All(
            output.TrimEnd('\n').Split('\n'), line => Assert.StartsWith("ok ", line, StringComparison.Ordinal));
    }

    [Fact]
    public async Task JsonSaysTheSame()
    {
        using var host = new FakeHost();
        host.Delete("/dev/ublk-control");
        await using FakeDaemon daemon = Daemon();
        Outcome outcome = await RunAsync(host, daemon, "--json");
        Assert.Equal((1, string.Empty), (outcome.ExitCode, outcome.Error));
        using JsonDocument document = JsonDocument.Parse(outcome.Output);
        Assert.False(document.RootElement.GetProperty("healthy").GetBoolean());
        JsonElement missing = Assert.Single(
            document.RootElement.GetProperty("checks").EnumerateArray(),
            c => c.GetProperty("state").GetString() is not "ok");
        Assert.Equal("ublk", missing.GetProperty("name").GetString());
        Assert.NotEmpty(missing.GetProperty("mend").GetString()!);
    }

    public static TheoryData<string, string, string, string> Illnesses => new()
    {
        { "/dev/ublk-control", null!, "ublk", "" },
        { "/proc/sys/kernel/osrelease", "5.10.0-8-amd64\n", "kernel", "linux-image" },
        { "/proc/sys/kernel/io_uring_disabled", "2\n", "io_uring", "sysctl -w kernel.io_uring_disabled=0" },
        { "/proc/4242/status", "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffdfffff\n", "CAP_SYS_ADMIN", "SYS_ADMIN" },
        { "/proc/4242/status", "Uid:\t0\t0\t0\t0\nCapEff:\t000001fffeffffff\n", "CAP_SYS_RESOURCE", "SYS_RESOURCE" },
        { "/proc/4242/status", "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffbfff\n", "CAP_IPC_LOCK", "IPC_LOCK" },
        { "/proc/4242/status", "Uid:\t0\t1000\t0\t0\nCapEff:\t000001ffffffffff\n", "root", "restart dstd" },
        { "/proc/swaps", "Filename Type\n/dev/ublkb0 partition 1 0 -2\n", "no swap on DST", "swapoff /dev/ublkb0" },
        { "/proc/swaps", "Filename Type\n/dev/ublkb0p2 partition 1 0 -2\n", "no swap on DST", "swapoff /dev/ublkb0p2" },
        { "/proc/swaps", "Filename Type\n/dev/dm-3 partition 1 0 -2\n", "no swap on DST", "swapoff /dev/dm-3" },
        { "/proc/swaps", "Filename Type\n/mnt/a\\040b/swap file\n", "no swap on DST", "swapoff '/mnt/a b/swap'" },
    };

    [Theory]
    [MemberData(nameof(Illnesses))]
    public async Task EachIllnessIsNamedWithItsRemedy(string path, string? text, string check, string remedy)
    {
        using var host = new FakeHost();
        host.Delete(path);
        if (text is not null)
        {
            host.Write(path, text);
        }

        await using FakeDaemon daemon = Daemon();
        Outcome outcome = await RunAsync(host, daemon);
        Assert.Equal((1, string.Empty), (outcome.ExitCode, outcome.Error));
        string line = Assert.Single(
            outcome.Output.TrimEnd('\n').Split('\n'), l => l.StartsWith("missing ", StringComparison.Ordinal));
        Assert.Equal(check, line[9..27].TrimEnd());
        Assert.Contains("; mend: ", line, StringComparison.Ordinal);
        Assert.Contains(remedy, line[line.IndexOf("; mend: ", StringComparison.Ordinal)..], StringComparison.Ordinal);
    }

    [Fact]
    public async Task SwapOnAnothersUblkDeviceIsNotOurs()
    {
        using var host = new FakeHost();
        host.Write("/proc/swaps", "Filename Type\n/dev/ublkb9 partition 1 0 -2\n/dev/sda2 partition 1 0 -2\n");
        await using FakeDaemon daemon = Daemon();
        (await RunAsync(host, daemon)).Succeeds();
    }

    [Theory]
    [InlineData("module", "modprobe ublk_drv && echo ublk_drv > /etc/modules-load.d/dst.conf")]
    [InlineData("container", "mknod -m 600 /dev/ublk-control c 10 121")]
    [InlineData("not-built", "linux-image-")]
    [InlineData("no-modules", $"apt-get install linux-image-{Release} && modprobe ublk_drv")]
    public async Task AMissingUblkIsTracedToItsCause(string cause, string remedy)
    {
        using var host = new FakeHost();
        host.Delete("/dev/ublk-control");
        (string path, string text) = cause switch
        {
            "module" => ($"/lib/modules/{Release}/modules.dep", "kernel/drivers/block/ublk_drv.ko.xz:\n"),
            "container" => ("/proc/misc", "121 ublk-control\n"),
            "not-built" => ($"/boot/config-{Release}", "CONFIG_BLK_DEV_UBLK_NOT=y\n# CONFIG_BLK_DEV_UBLK is not set\n"),
            _ => ($"/boot/config-{Release}", "CONFIG_BLK_DEV_UBLK=m\n"),
        };
        host.Write(path, text);
        await using FakeDaemon daemon = Daemon();
        Outcome outcome = await RunAsync(host, daemon);
        Assert.Equal(1, outcome.ExitCode);
        Assert.Contains(remedy, outcome.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/proc/sys/kernel/osrelease", "6.6.1\n", "warn     kernel")]
    [InlineData("/proc/sys/kernel/osrelease", "strange\n", "warn     kernel")]
    [InlineData("/proc/4242/limits", "Max open files            1024      1024     files\n", "warn     open files")]
    public async Task WhatCouldBeBetterIsNoFailure(string path, string text, string line)
    {
        using var host = new FakeHost();
        host.Write(path, text);
        await using FakeDaemon daemon = Daemon();
        Assert.Contains(line, (await RunAsync(host, daemon)).Succeeds(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task WithoutADaemonThisProcessIsExamined()
    {
        using var host = new FakeHost();
        host.Write("/proc/self/status", "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n");
        host.Write("/proc/sys/kernel/io_uring_disabled", "1\n");
        var setting = new Setting { HostRoot = host.Root, RunPath = "/nonexistent" };
        Outcome outcome = await Cli.RunAsync(setting, "doctor");
        Assert.Equal((1, string.Empty), (outcome.ExitCode, outcome.Error));
        Assert.All(
            new[] { "io_uring", "root", "CAP_SYS_ADMIN", "CAP_SYS_RESOURCE", "CAP_IPC_LOCK", "dstd" },
            check => Assert.Contains($"missing  {check} ", outcome.Output, StringComparison.Ordinal));
        Assert.Contains("mend: sudo dstctl doctor", outcome.Output, StringComparison.Ordinal);
        Assert.Contains("mend: dstd --run-dir /nonexistent", outcome.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ADirectoryThatCannotBeWrittenIsNamed()
    {
        using var host = new FakeHost();
        // A file where the directory should be: nobody, not even root, can write below it.
        host.Write("/var/lib/dst", "a file");
        await using FakeDaemon daemon = Daemon();
        Outcome outcome = await RunAsync(host, daemon);
        Assert.Equal(1, outcome.ExitCode);
        Assert.Contains("missing  state directory", outcome.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AFilteredIoUringIsFound()
    {
        using var host = new FakeHost();
        var setting = new Setting
        {
            HostRoot = host.Root,
            RunPath = "/nonexistent",
            Probe = new FakeKernel { RingFeatures = null },
        };
        Outcome outcome = await Cli.RunAsync(setting, "doctor");
        Assert.Contains("missing  io_uring ", outcome.Output, StringComparison.Ordinal);
        Assert.Contains("seccomp", outcome.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task NothingIsLeftBehind()
    {
        using var host = new FakeHost();
        await using FakeDaemon daemon = Daemon();
        host.MakeDirectory(daemon.RunPath);
        string[] before = host.Entries;
        await RunAsync(host, daemon);
        Assert.Equal(before, host.Entries);
    }

    private static FakeDaemon Daemon() => new(request => request.Target switch
    {
        "/v1/version" => FakeAnswer.Json(200, Samples.Info, ControlJson.Default.DaemonInfo),
        _ => FakeAnswer.Json(200, [Samples.Disk], ControlJson.Default.DeviceStatusArray),
    });

    private static Task<Outcome> RunAsync(FakeHost host, FakeDaemon daemon, params string[] args)
    {
        host.MakeDirectory(daemon.RunPath);
        return Cli.RunAsync(new Setting { HostRoot = host.Root, RunPath = daemon.RunPath }, ["doctor", .. args]);
    }

    /// <summary>Files of a host that has everything.</summary>
    private sealed class FakeHost : IDisposable
    {
        public FakeHost()
        {
            Write("/proc/sys/kernel/osrelease", $"{Release}\n");
            Write("/proc/sys/kernel/io_uring_disabled", "0\n");
            Write("/proc/4242/status", "Name:\tdstd\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n");
            Write("/proc/4242/limits", "Max open files            1024                 524288               files\n");
            Write("/proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/sda2 partition 1 0 -2\n");
            Write(
                "/proc/self/mountinfo",
                "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 22 259:0 / /mnt/a\\040b rw shared:1 - ext4 /dev/ublkb0 rw\n");
            Write("/dev/ublk-control", string.Empty);
            MakeDirectory("/sys/class/block/dm-3/slaves/dm-1");
            MakeDirectory("/sys/class/block/dm-1/slaves/ublkb0p1");
            MakeDirectory("/var/lib");
        }

        public string Root { get; } = Directory.CreateTempSubdirectory("dsthost-").FullName;

        public string[] Entries =>
        [
            .. Directory.EnumerateFileSystemEntries(Root, "*", SearchOption.AllDirectories)
                .Order(StringComparer.Ordinal),
        ];

        public void Write(string path, string text)
        {
            MakeDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(Root + path, text);
        }

        public void MakeDirectory(string path) => Directory.CreateDirectory(Root + path);

        public void Delete(string path) => File.Delete(Root + path);

        public void Dispose() => Directory.Delete(Root, recursive: true);
    }
}
