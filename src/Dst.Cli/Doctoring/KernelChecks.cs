using System.Globalization;
using System.Runtime.InteropServices;
using Dst.Cli.Features;
using Dst.Control;

namespace Dst.Cli.Doctoring;

/// <summary>What the kernel must have: version, ublk, io_uring (D-17).</summary>
/// <param name="files">The host.</param>
/// <param name="probe">Its kernel.</param>
internal sealed class KernelChecks(HostFiles files, IKernelProbe probe)
{
    private static readonly Version FirstWithUblk = new(6, 0);
    private static readonly Version Recommended = new(6, 12);

    private readonly string _release = files.Text("/proc/sys/kernel/osrelease") ?? "unknown";

    private static string NewKernel => RuntimeInformation.OSArchitecture == Architecture.Arm64
        ? "apt-get install linux-image-arm64 && reboot"
        : "apt-get install linux-image-amd64 && reboot";

    /// <summary>All of them.</summary>
    /// <param name="capabilities">Of the process that will use the kernel.</param>
    public IEnumerable<Check> All(Capabilities capabilities)
    {
        yield return KernelVersion();
        yield return Ublk();
        yield return IoUring(capabilities);
    }

    private Check KernelVersion()
    {
        const string Name = "kernel";
        Version? version = Parse(_release);
        if (version is null)
        {
            return new Check(
                Name,
                CheckState.Warn,
                $"release '{_release}' cannot be read; {Recommended} or newer is recommended",
                "uname -r");
        }

        if (version < FirstWithUblk)
        {
            return new Check(
                Name, CheckState.Missing, $"{_release} is older than {FirstWithUblk}, the first with ublk", NewKernel);
        }

        if (version < Recommended)
        {
            return new Check(
                Name, CheckState.Warn, $"{_release} is older than {Recommended}, the oldest recommended", NewKernel);
        }

        return new Check(Name, CheckState.Ok, _release);
    }

    private Check Ublk()
    {
        const string Name = "ublk";
        const string Control = "/dev/ublk-control";
        if (files.Exists(Control))
        {
            return new Check(Name, CheckState.Ok, Control);
        }

        if (MiscMinor("ublk-control") is { } minor)
        {
            return new Check(
                Name,
                CheckState.Missing,
                $"the driver is loaded, but {Control} is not here (a container?)",
                $"mknod -m 600 {Control} c 10 {minor}");
        }

        if (files.Lines($"/lib/modules/{_release}/modules.dep").Any(IsUblkModule))
        {
            return new Check(
                Name,
                CheckState.Missing,
                $"no {Control}: the module ublk_drv is not loaded",
                "modprobe ublk_drv && echo ublk_drv > /etc/modules-load.d/dst.conf");
        }

        return Configured("CONFIG_BLK_DEV_UBLK") switch
        {
            false => new Check(
                Name, CheckState.Missing, $"kernel {_release} is built without CONFIG_BLK_DEV_UBLK", NewKernel),
            true => new Check(
                Name,
                CheckState.Missing,
                $"kernel {_release} has CONFIG_BLK_DEV_UBLK, but its modules are not installed",
                $"apt-get install linux-image-{_release} && modprobe ublk_drv"),
            null => new Check(
                Name, CheckState.Missing, $"no {Control}, and no module ublk_drv for {_release}", "modprobe ublk_drv"),
        };
    }

    private Check IoUring(Capabilities capabilities)
    {
        const string Name = "io_uring";
        const string Setting = "kernel.io_uring_disabled";
        const string Mend = $"sysctl -w {Setting}=0 && echo {Setting}=0 > /etc/sysctl.d/90-dst.conf";
        string? disabled = files.Text("/proc/sys/kernel/io_uring_disabled")?.Trim();
        return disabled switch
        {
            "2" => new Check(Name, CheckState.Missing, $"{Setting} is 2: switched off for everybody", Mend),
            "1" when !capabilities.Has(Capabilities.SysAdmin) =>
                new Check(Name, CheckState.Missing, $"{Setting} is 1: only for CAP_SYS_ADMIN", Mend),
            null when Configured("CONFIG_IO_URING") == false =>
                new Check(Name, CheckState.Missing, $"kernel {_release} is built without CONFIG_IO_URING", NewKernel),
            _ => TryIoUring(Name),
        };
    }

    /// <summary>What no setting shows: a filter of system calls around this process.</summary>
    private Check TryIoUring(string name)
    {
        try
        {
            _ = probe.IoUring();
            return new Check(name, CheckState.Ok, "a ring can be made");
        }
        catch (ControlException failure)
        {
            return new Check(
                name,
                CheckState.Missing,
                failure.Message,
                "let the container's seccomp profile pass io_uring_setup, io_uring_enter and io_uring_register");
        }
    }

    private static bool IsUblkModule(string dependencies) =>
        dependencies.Split(':')[0].Contains("/ublk_drv.ko", StringComparison.Ordinal);

    /// <summary>Whether the kernel was built with an option; null when no copy of its configuration is there.</summary>
    private bool? Configured(string option)
    {
        string[] copies = ["/proc/config.gz", $"/boot/config-{_release}", $"/lib/modules/{_release}/config"];
        string? text = copies.Select(files.Text).FirstOrDefault(t => t is not null);
        string[] builtIn = [$"{option}=y", $"{option}=m"];
        return text?.Split('\n').Any(line => builtIn.Contains(line, StringComparer.Ordinal));
    }

    private string? MiscMinor(string name) => files.Lines("/proc/misc")
        .Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        .FirstOrDefault(words => words.Length == 2 && string.Equals(words[1], name, StringComparison.Ordinal))?[0];

    private static Version? Parse(string release)
    {
        string[] parts = release.Split('.', '-', '+');
        return parts.Length >= 2
            && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int major)
            && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int minor)
            ? new Version(major, minor)
            : null;
    }
}
