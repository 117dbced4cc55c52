using System.Text.Json.Serialization;

namespace Dst.Control;

/// <summary>
/// Serialisation of every document of the control plane, made at build time so that native binaries need no reflection.
/// </summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Skip,
    AllowTrailingCommas = false)]
[JsonSerializable(typeof(DeviceRequest))]
[JsonSerializable(typeof(DeviceRecord))]
[JsonSerializable(typeof(DeviceGeometry))]
[JsonSerializable(typeof(DeviceStatus))]
[JsonSerializable(typeof(DeviceStatus[]))]
[JsonSerializable(typeof(DaemonInfo))]
[JsonSerializable(typeof(RemovalReport))]
[JsonSerializable(typeof(ClearErrorRequest))]
[JsonSerializable(typeof(ControlError))]
[JsonSerializable(typeof(TargetHello))]
[JsonSerializable(typeof(TargetRequest))]
[JsonSerializable(typeof(TargetReply))]
[JsonSerializable(typeof(NodeSettings))]
[JsonSerializable(typeof(ExportRequest))]
[JsonSerializable(typeof(ExportRecord))]
[JsonSerializable(typeof(ExportLayout))]
[JsonSerializable(typeof(ExportStatus))]
[JsonSerializable(typeof(ExportStatus[]))]
[JsonSerializable(typeof(ServerHello))]
[JsonSerializable(typeof(ServerRequest))]
[JsonSerializable(typeof(ServerReply))]
public sealed partial class ControlJson : JsonSerializerContext;
