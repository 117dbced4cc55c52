namespace Dst.Cli;

/// <summary>The grammar of names, sizes and nodes as the CLI needs it.</summary>
internal static class Specs
{
    public static string? NameFault(string name) =>
        name.Length is >= 1 and <= 64 && char.IsAsciiLetterOrDigit(name[0])
        && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-')
            ? null : $"'{name}' is not a name";

    public static string? NodeFault(string spec) => spec.Contains(':', StringComparison.Ordinal) ? null : $"--node: '{spec}' has no kind";

    public static string AbsoluteNode(string spec, string workingDirectory) => spec;

    public static bool TryParseSize(string text, out long bytes) => long.TryParse(text, out bytes);
}
