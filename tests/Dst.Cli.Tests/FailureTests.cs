using System.Net.Sockets;
using Dst.Control;

namespace Dst.Cli.Tests;

public sealed class FailureTests
{
    private static readonly string[][] Lines =
    [
        ["list"], ["status"], ["status", "disk1"], ["clear-error", "disk1"], ["remove-device", "disk1"],
        ["add-device", "disk1", "--node", "zero:1G"],
    ];

    [Theory]
    [InlineData(ControlErrorCode.Failure, 1)]
    [InlineData(ControlErrorCode.Usage, 2)]
    [InlineData(ControlErrorCode.NotFound, 3)]
    [InlineData(ControlErrorCode.Unreachable, 4)]
    [InlineData(ControlErrorCode.Busy, 5)]
    [InlineData(ControlErrorCode.TimedOut, 6)]
    public async Task WhatTheDaemonSaysIsToldWithItsExitCode(ControlErrorCode code, int exitCode)
    {
        await using var daemon = new FakeDaemon(_ => FakeAnswer.Error(code, "disk1: so it is\nand more"));
        foreach (string[] line in Lines)
        {
            Outcome outcome = await Cli.RunAsync(daemon, line);
            Assert.Equal("dstctl: disk1: so it is and more\n", outcome.FailsWith(exitCode).Error);
        }
    }

    [Fact]
    public async Task ADaemonThatDoesNotRunIsToldWithTheWayToStartIt()
    {
        string directory = Directory.CreateTempSubdirectory("dstcli-").FullName;
        try
        {
            await ExpectAsync("ENOENT");
            using (var dead = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
            {
                dead.Bind(new UnixDomainSocketEndPoint($"{directory}/dstd.sock"));
                await ExpectAsync("ECONNREFUSED");
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }

        async Task ExpectAsync(string errno)
        {
            foreach (string[] line in Lines)
            {
                Outcome outcome = (await Cli.RunAsync(new Setting { RunPath = directory }, line)).FailsWith(4);
                Assert.Contains(errno, outcome.Error, StringComparison.Ordinal);
                Assert.Contains($"dstd --run-dir {directory}", outcome.Error, StringComparison.Ordinal);
            }
        }
    }

    [Theory]
    [InlineData(200, "<html>")]
    [InlineData(200, "null")]
    [InlineData(200, "")]
    [InlineData(200, "[{\"name\":")]
    [InlineData(500, "")]
    [InlineData(500, "oops")]
    [InlineData(404, "{}")]
    [InlineData(302, "")]
    public async Task AnAnswerThatIsNotOursIsToldAsAFailure(int status, string body)
    {
        await using var daemon = new FakeDaemon(_ => new FakeAnswer(status, body));
        foreach (string[] line in Lines.Where(l => l[0] is not "clear-error" || status != 200))
        {
            (await Cli.RunAsync(daemon, line)).FailsWith(1);
        }
    }

    [Fact]
    public async Task ADaemonThatDiesMeanwhileIsUnreachable()
    {
        await using var daemon = new FakeDaemon(_ => FakeAnswer.HangUp);
        foreach (string[] line in Lines)
        {
            (await Cli.RunAsync(daemon, line)).FailsWith(4);
        }
    }

    [Fact]
    public async Task ADaemonThatHangsIsGivenUp()
    {
        await using var daemon = new FakeDaemon(HangAsync);
        var limits = new CliLimits
        {
            QuickAnswer = TimeSpan.FromMilliseconds(50),
            ClearError = TimeSpan.FromMilliseconds(50),
            UnwatchedInterval = TimeSpan.FromMilliseconds(20),
            Silence = TimeSpan.FromMilliseconds(200),
        };
        foreach (string[] line in Lines)
        {
            (await Cli.RunAsync(new Setting { RunPath = daemon.RunPath, Limits = limits }, line)).FailsWith(6);
        }
    }

    [Fact]
    public async Task ClearingAnErrorMayTakeAsLongAsTheDaemonAllows()
    {
        await using var daemon = new FakeDaemon(async (_, end) =>
        {
            await Task.Delay(500, end);
            return new FakeAnswer(204, string.Empty);
        });
        var limits = new CliLimits { QuickAnswer = TimeSpan.FromMilliseconds(50) };
        (await Cli.RunAsync(new Setting { RunPath = daemon.RunPath, Limits = limits }, "clear-error", "disk1"))
            .Succeeds();
    }

    [Fact]
    public async Task ADaemonThatSaysTimedOutEndsTheProgramWithSix()
    {
        await using var daemon = new FakeDaemon(_ => FakeAnswer.Error(ControlErrorCode.TimedOut, "disk1: busy"));
        Outcome outcome = await Cli.ProcessAsync("remove-device", "disk1", "--run-dir", daemon.RunPath);
        Assert.Equal("dstctl: disk1: busy\n", outcome.FailsWith(6).Error);
    }

    [Fact]
    public async Task AnEmptyRunDirectoryIsAUsageError()
    {
        Outcome byOption = await Cli.RunAsync(new Setting { RunPath = string.Empty }, "list");
        Assert.Equal("dstctl: --run-dir: the path is empty\n", byOption.FailsWith(2).Error);
        Outcome byVariable = await Cli.RunAsync(Setting.ByVariable(string.Empty), "list");
        Assert.Equal("dstctl: $DST_RUN_DIR: the path is empty\n", byVariable.FailsWith(2).Error);
    }

    [Fact]
    public async Task CtrlCSaysThatTheDaemonGoesOn()
    {
        using var interruption = new CancellationTokenSource();
        await using var daemon = new FakeDaemon(async (_, end) =>
        {
            await interruption.CancelAsync();
            return await HangAsync(null!, end);
        });
        var setting = new Setting { RunPath = daemon.RunPath, Interruption = interruption.Token };
        Outcome outcome = (await Cli.RunAsync(setting, "add-device", "disk1", "--node", "zero:1G")).FailsWith(130);
        Assert.Equal("dstctl: interrupted; dstd goes on adding disk1; see 'dstctl status disk1'\n", outcome.Error);
    }

    [Fact]
    public async Task ProgressIsShownToATerminalAndWipedOut()
    {
        var seen = new TaskCompletionSource();
        await using var daemon = new FakeDaemon(async (request, end) =>
        {
            if (request.Method is "POST")
            {
                await seen.Task.WaitAsync(end);
                return FakeAnswer.Json(201, Samples.Disk with { Warnings = [] }, ControlJson.Default.DeviceStatus);
            }

            // The line is written after this answer; the device is live only once a second look was taken.
            if (request.Target is "/v1/devices/disk1" && Interlocked.Increment(ref _looks) > 1)
            {
                seen.TrySetResult();
            }

            return FakeAnswer.Json(200, Samples.Young, ControlJson.Default.DeviceStatus);
        });
        var setting = new Setting
        {
            RunPath = daemon.RunPath,
            Terminal = true,
            Limits = new CliLimits { WatchedInterval = TimeSpan.FromMilliseconds(20) },
        };
        Outcome outcome = await Cli.RunAsync(setting, "add-device", "disk1", "--node", "file:a,size=4G");
        Assert.Equal((0, "/dev/ublkb0\n"), (outcome.ExitCode, outcome.Output));
        Assert.StartsWith(
            "\r\u001b[Kadding disk1: creating, 1.5G of 4G preallocated (37%)\r\u001b[K",
            outcome.Error,
            StringComparison.Ordinal);
        Assert.EndsWith(")\r\u001b[K", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WithoutATerminalNothingIsShown()
    {
        await using var daemon = new FakeDaemon(async (request, end) =>
        {
            if (request.Method is "POST")
            {
                await Task.Delay(100, end);
                return FakeAnswer.Json(201, Samples.Disk with { Warnings = [] }, ControlJson.Default.DeviceStatus);
            }

            return FakeAnswer.Error(ControlErrorCode.NotFound, "not yet");
        });
        var setting = new Setting
        {
            RunPath = daemon.RunPath,
            Limits = new CliLimits { UnwatchedInterval = TimeSpan.FromMilliseconds(10) },
        };
        (await Cli.RunAsync(setting, "add-device", "disk1", "--node", "zero:1G")).Succeeds();
        Assert.True(daemon.Requests.Count > 1);
    }

    private static async Task<FakeAnswer> HangAsync(FakeRequest request, CancellationToken end)
    {
        await Task.Delay(Timeout.Infinite, end);
        return FakeAnswer.HangUp;
    }

    private int _looks;
}
