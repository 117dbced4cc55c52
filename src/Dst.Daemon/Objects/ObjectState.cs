namespace Dst.Daemon.Objects;

/// <summary>Names of the states that a device or an export shows.</summary>
internal static class ObjectState
{
    public const string Creating = "creating";
    public const string Starting = "starting";
    public const string Live = "live";
    public const string Stopping = "stopping";
    public const string Failed = "failed";
}
