namespace Dst.Daemon.Logging;

/// <summary>Every message that dstd logs. Ids are stable: never reuse one.</summary>
internal static partial class Log
{
    [LoggerMessage(1, LogLevel.Information, "dstd {Version} serves {Socket}, records in {State}")]
    public static partial void Serving(this ILogger log, string version, string socket, string state);

    [LoggerMessage(2, LogLevel.Information, "dstd ends; {Count} targets go on")]
    public static partial void Ending(this ILogger log, int count);

    [LoggerMessage(3, LogLevel.Error, "request {Method} {Path} failed")]
    public static partial void RequestFailed(this ILogger log, Exception e, string method, string path);

    [LoggerMessage(10, LogLevel.Information, "device {Name} is live as {BlockDevice}, target pid {Pid}")]
    public static partial void DeviceLive(this ILogger log, string name, string blockDevice, int pid);

    [LoggerMessage(11, LogLevel.Information, "device {Name} adopted, target pid {Pid}")]
    public static partial void DeviceAdopted(this ILogger log, string name, int pid);

    [LoggerMessage(12, LogLevel.Information, "device {Name} removed")]
    public static partial void DeviceRemoved(this ILogger log, string name);

    [LoggerMessage(13, LogLevel.Warning, "device {Name} removed: {Notes}")]
    public static partial void DeviceForced(this ILogger log, string name, string notes);

    [LoggerMessage(14, LogLevel.Error, "device {Name} failed: {Reason}")]
    public static partial void DeviceFailed(this ILogger log, string name, string reason);

    [LoggerMessage(15, LogLevel.Error, "device {Name} was not created: {Reason}")]
    public static partial void CreationFailed(this ILogger log, string name, string reason);

    [LoggerMessage(16, LogLevel.Warning, "device {Name}: creation of an earlier dstd was rolled back")]
    public static partial void CreationRolledBack(this ILogger log, string name);

    [LoggerMessage(17, LogLevel.Warning, "device {Name}: removal of an earlier dstd was ended")]
    public static partial void RemovalEnded(this ILogger log, string name);

    [LoggerMessage(18, LogLevel.Warning, "device {Name}: {What}")]
    public static partial void DeviceWarning(this ILogger log, string name, string what);

    [LoggerMessage(20, LogLevel.Error, "helper '{What}' hangs in the kernel, left behind as pid {Pid}")]
    public static partial void HelperLeftBehind(this ILogger log, string what, int pid);

    [LoggerMessage(21, LogLevel.Error, "target of device {Name} does not end, left behind as pid {Pid}")]
    public static partial void TargetLeftBehind(this ILogger log, string name, int pid);

    [LoggerMessage(40, LogLevel.Information, "export {Name} is live, server pid {Pid}")]
    public static partial void ExportLive(this ILogger log, string name, int pid);

    [LoggerMessage(41, LogLevel.Information, "export {Name} adopted, server pid {Pid}")]
    public static partial void ExportAdopted(this ILogger log, string name, int pid);

    [LoggerMessage(42, LogLevel.Information, "export {Name} removed")]
    public static partial void ExportRemoved(this ILogger log, string name);

    [LoggerMessage(43, LogLevel.Error, "export {Name} failed: {Reason}")]
    public static partial void ExportFailed(this ILogger log, string name, string reason);

    [LoggerMessage(44, LogLevel.Error, "export {Name} was not created: {Reason}")]
    public static partial void ExportNotCreated(this ILogger log, string name, string reason);

    [LoggerMessage(45, LogLevel.Warning, "export {Name}: {What}")]
    public static partial void ExportWarning(this ILogger log, string name, string what);

    [LoggerMessage(50, LogLevel.Information, "server of exports started, pid {Pid}")]
    public static partial void ServerStarted(this ILogger log, int pid);

    [LoggerMessage(51, LogLevel.Information, "server of exports adopted, pid {Pid}")]
    public static partial void ServerAdopted(this ILogger log, int pid);

    [LoggerMessage(52, LogLevel.Warning, "server of exports: {What}")]
    public static partial void ServerWarning(this ILogger log, string what);

    [LoggerMessage(30, LogLevel.Error, "record {Path}: {Problem}")]
    public static partial void RecordProblem(this ILogger log, string path, string problem);
}
