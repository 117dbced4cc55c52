using System.Diagnostics.CodeAnalysis;

namespace Dst.Core.Specs;

/// <summary>Names of devices and exports, which share one name space. Pure; any thread.</summary>
public static class ObjectName
{
    /// <summary>Longest name.</summary>
    public const int CharsMax = 64;

    /// <summary>True for 1 to 64 of [A-Za-z0-9._-] starting with a letter or digit.</summary>
    /// <param name="name">The name.</param>
    /// <param name="error">Why not, one line.</param>
    public static bool TryCheck(string name, [NotNullWhen(false)] out string? error)
    {
        error = null;
        if (name.Length == 0)
        {
            error = "a name is missing: 1 to 64 of A-Z a-z 0-9 . _ -, starting with a letter or digit";
        }
        else if (name.Length > CharsMax)
        {
            error = $"name {SpecText.Quote(name)}: {name.Length} characters, at most {CharsMax} are allowed";
        }
        else if (!char.IsAsciiLetterOrDigit(name[0]))
        {
            error = $"name {SpecText.Quote(name)}: must start with a letter or digit";
        }
        else
        {
            foreach (char c in name)
            {
                if (!char.IsAsciiLetterOrDigit(c) && c is not ('.' or '_' or '-'))
                {
                    error = $"name {SpecText.Quote(name)}: {SpecText.Quote(c.ToString())} is not allowed, only A-Z a-z 0-9 . _ -";
                    break;
                }
            }
        }

        return error is null;
    }
}
