using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Dst.Cli.Doctoring;
using Dst.Cli.Features;
using Dst.Control;

namespace Dst.Cli.Output;

/// <summary>Output of <c>status --json</c>.</summary>
/// <param name="Schema">Version of the document; grows when a field changes its meaning or goes.</param>
/// <param name="Devices">In the order of the names.</param>
/// <param name="Exports">In the order of the names.</param>
internal sealed record StatusDocument(
    int Schema, IReadOnlyList<DeviceStatus> Devices, IReadOnlyList<ExportStatus> Exports);

/// <summary>Output of <c>list --json</c>.</summary>
/// <param name="Schema">Version of the document; grows when a field changes its meaning or goes.</param>
/// <param name="Devices">In the order of the names.</param>
/// <param name="Exports">In the order of the names.</param>
internal sealed record ListDocument(
    int Schema, IReadOnlyList<ListEntry> Devices, IReadOnlyList<ListExport> Exports);

/// <summary>One export of a list.</summary>
/// <param name="Name">Name given at creation.</param>
/// <param name="State">As in the status.</param>
/// <param name="Nodes">What to give <c>--node</c> on another machine.</param>
internal sealed record ListExport(string Name, string State, IReadOnlyList<string> Nodes);

/// <summary>One device of a list.</summary>
/// <param name="Name">Name given at creation.</param>
/// <param name="State">As in the status.</param>
/// <param name="BlockDevice">Path, while it is live.</param>
internal sealed record ListEntry(string Name, string State, string? BlockDevice);

/// <summary>Output of <c>doctor --json</c>.</summary>
/// <param name="Schema">Version of the document; grows when a field changes its meaning or goes.</param>
/// <param name="Healthy">Nothing is missing.</param>
/// <param name="Checks">In the order they were made.</param>
internal sealed record DoctorDocument(int Schema, bool Healthy, IReadOnlyList<Check> Checks);

/// <summary>Output of <c>features --json</c>.</summary>
/// <param name="Schema">Version of the document; grows when a field changes its meaning or goes.</param>
/// <param name="Kernel">Release of the running kernel.</param>
/// <param name="Features">Features of the groups that could be asked.</param>
/// <param name="Errors">Why the others could not, one line each.</param>
internal sealed record FeaturesDocument(
    int Schema, string Kernel, IReadOnlyList<Feature> Features, IReadOnlyList<string> Errors);

/// <summary>Serialisation of what the CLI prints, made at build time.</summary>
[JsonSourceGenerationOptions(GenerationMode = JsonSourceGenerationMode.Metadata)]
[JsonSerializable(typeof(StatusDocument))]
[JsonSerializable(typeof(ListDocument))]
[JsonSerializable(typeof(DoctorDocument))]
[JsonSerializable(typeof(FeaturesDocument))]
internal sealed partial class CliJson : JsonSerializerContext
{
    /// <summary>Version of every document.</summary>
    public const int Schema = 2;

    /// <summary>Named as in the control plane, indented; paths are not escaped for the sake of web pages.</summary>
    public static CliJson Readable { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    /// <summary>Writes one document and a newline.</summary>
    public static void Write<T>(TextWriter output, T document, JsonTypeInfo<T> type) =>
        output.WriteLine(JsonSerializer.Serialize(document, type));
}
