using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace Dst.Core.Specs;

/// <summary>
/// What a node is made of: <c>KIND:ADDRESS[,key=value]…</c>. A comma in a path is doubled; delay and error take all
/// that follows their own argument as the inner node. Immutable and pure; any thread. <see cref="ToString"/> gives the
/// canonical text, which reads back to an equal value.
/// </summary>
public abstract record NodeSpec
{
    /// <summary>Most delay and error nodes around each other.</summary>
    public const int NestingMax = 4;

    /// <summary>Longest path: what the kernel takes, without the closing NUL.</summary>
    public const int PathBytesMax = 4095;

    /// <summary>Longest delay: one hour.</summary>
    public const int DelayMaxMs = 3_600_000;

    /// <summary>Longest text that is looked at.</summary>
    public const int TextCharsMax = 16 * 1024;

    /// <summary>Unit of <c>size=</c> and <c>offset=</c>: the smallest logical block.</summary>
    public const int UnitBytes = 512;

    private protected NodeSpec()
    {
    }

    /// <summary>Word before the colon: file, dev, zero, mem, delay, error, volatile, trace, dst or
    /// dst+unix.</summary>
    public abstract string Kind { get; }

    /// <summary>The address without options, for people; not escaped.</summary>
    public abstract string Address { get; }

    /// <summary>Reads a specification with absolute paths; a relative one is refused.</summary>
    /// <param name="text">Such as <c>file:/srv/a.img,size=4G</c>.</param>
    /// <param name="spec">The specification.</param>
    /// <param name="error">Why not, one line that names the piece and what is allowed.</param>
    public static bool TryParse(
        string text, [NotNullWhen(true)] out NodeSpec? spec, [NotNullWhen(false)] out string? error)
    {
        spec = NodeSpecParser.Parse(text, workingDirectory: null, NestingMax, out error);
        return Agree(spec, error);
    }

    /// <summary>Reads a specification as typed in a directory: relative paths become absolute ones.</summary>
    /// <param name="text">Such as <c>file:a.img,size=4G</c>.</param>
    /// <param name="workingDirectory">Absolute path of the directory.</param>
    /// <param name="spec">The specification.</param>
    /// <param name="error">Why not, one line.</param>
    public static bool TryParse(
        string text,
        string workingDirectory,
        [NotNullWhen(true)] out NodeSpec? spec,
        [NotNullWhen(false)] out string? error)
    {
        spec = NodeSpecParser.Parse(text, workingDirectory, NestingMax, out error);
        return Agree(spec, error);
    }

    /// <summary>
    /// Rewrites a specification as typed in a directory to its canonical text with absolute paths, which may be sent to
    /// a process with another working directory.
    /// </summary>
    /// <param name="text">As typed.</param>
    /// <param name="workingDirectory">Absolute path of the directory.</param>
    /// <param name="canonical">The canonical text.</param>
    /// <param name="error">Why not, one line.</param>
    public static bool WithAbsolutePaths(
        string text,
        string workingDirectory,
        [NotNullWhen(true)] out string? canonical,
        [NotNullWhen(false)] out string? error)
    {
        canonical = TryParse(text, workingDirectory, out NodeSpec? spec, out error) ? spec.ToString() : null;
        return canonical is not null;
    }

    /// <summary>The canonical text.</summary>
    public sealed override string ToString()
    {
        StringBuilder text = new();
        AppendTo(text);
        return text.ToString();
    }

    private static bool Agree(
        [NotNullWhen(true)] NodeSpec? spec, [NotNullWhen(false)] string? error)
    {
        Must.Be(spec is null != error is null, "a node specification is either read or refused with a reason");
        return spec is not null;
    }

    private protected abstract void AppendTo(StringBuilder text);

    private protected static void AppendPath(StringBuilder text, string path) =>
        text.Append(path.Replace(",", ",,", StringComparison.Ordinal));

    /// <summary>Lets a derived type write its inner node.</summary>
    private protected static void AppendInner(StringBuilder text, NodeSpec inner) => inner.AppendTo(text);
}

/// <summary><c>file:PATH[,size=4G][,offset=…][,sparse][,buffered]</c>: a regular file.</summary>
/// <param name="Path">Absolute path.</param>
/// <param name="SizeBytes">Size to create the file with, and to use of it; null for all there is.</param>
/// <param name="OffsetBytes">Where the data begins in the file.</param>
/// <param name="Sparse">A created file is not preallocated.</param>
/// <param name="Buffered">Through the page cache instead of O_DIRECT.</param>
public sealed record FileNodeSpec(
    string Path, long? SizeBytes = null, long OffsetBytes = 0, bool Sparse = false, bool Buffered = false)
    : NodeSpec
{
    /// <inheritdoc/>
    public override string Kind => "file";

    /// <inheritdoc/>
    public override string Address => Path;

    private protected override void AppendTo(StringBuilder text)
    {
        AppendPath(text.Append("file:"), Path);
        if (SizeBytes is long size)
        {
            text.Append(",size=").Append(ByteSize.ToSpec(size));
        }

        if (OffsetBytes != 0)
        {
            text.Append(",offset=").Append(ByteSize.ToSpec(OffsetBytes));
        }

        text.Append(Sparse ? ",sparse" : "").Append(Buffered ? ",buffered" : "");
    }
}

/// <summary><c>dev:PATH</c>: a block device.</summary>
/// <param name="Path">Absolute path.</param>
public sealed record DeviceNodeSpec(string Path) : NodeSpec
{
    /// <inheritdoc/>
    public override string Kind => "dev";

    /// <inheritdoc/>
    public override string Address => Path;

    private protected override void AppendTo(StringBuilder text) => AppendPath(text.Append("dev:"), Path);
}

/// <summary><c>zero:SIZE</c>: reads zeroes, forgets writes. For tests and measurements.</summary>
/// <param name="SizeBytes">Size, at least 1.</param>
public sealed record ZeroNodeSpec(long SizeBytes) : NodeSpec
{
    /// <inheritdoc/>
    public override string Kind => "zero";

    /// <inheritdoc/>
    public override string Address => ByteSize.ToSpec(SizeBytes);

    private protected override void AppendTo(StringBuilder text) => text.Append("zero:").Append(Address);
}

/// <summary><c>mem:SIZE</c>: memory that ends with the target. For tests.</summary>
/// <param name="SizeBytes">Size, at least 1.</param>
public sealed record MemoryNodeSpec(long SizeBytes) : NodeSpec
{
    /// <inheritdoc/>
    public override string Kind => "mem";

    /// <inheritdoc/>
    public override string Address => ByteSize.ToSpec(SizeBytes);

    private protected override void AppendTo(StringBuilder text) => text.Append("mem:").Append(Address);
}

/// <summary><c>delay:MS,NODE</c>: the inner node, each operation later. For tests.</summary>
/// <param name="DelayMs">0 to <see cref="NodeSpec.DelayMaxMs"/>.</param>
/// <param name="Inner">The node behind.</param>
public sealed record DelayNodeSpec(int DelayMs, NodeSpec Inner) : NodeSpec
{
    /// <inheritdoc/>
    public override string Kind => "delay";

    /// <inheritdoc/>
    public override string Address =>
        string.Create(CultureInfo.InvariantCulture, $"{DelayMs},{Inner.Kind}:{Inner.Address}");

    private protected override void AppendTo(StringBuilder text) =>
        AppendInner(text.Append(CultureInfo.InvariantCulture, $"delay:{DelayMs},"), Inner);
}

/// <summary><c>error:WHEN,NODE</c>: the inner node, with some operations failing. For tests.</summary>
/// <param name="Rule">Which operations fail, and how.</param>
/// <param name="Inner">The node behind.</param>
public sealed record ErrorNodeSpec(ErrorRule Rule, NodeSpec Inner) : NodeSpec
{
    /// <inheritdoc/>
    public override string Kind => "error";

    /// <inheritdoc/>
    public override string Address => $"{Rule},{Inner.Kind}:{Inner.Address}";

    private protected override void AppendTo(StringBuilder text) =>
        AppendInner(text.Append("error:").Append(Rule).Append(','), Inner);
}

/// <summary>
/// <c>trace:PATH,NODE</c>: the inner node; what it is asked and answers is recorded in the file PATH.PID. For tests.
/// </summary>
/// <param name="Path">Absolute path, without the number of the process.</param>
/// <param name="Inner">The node behind.</param>
public sealed record TraceNodeSpec(string Path, NodeSpec Inner) : NodeSpec
{
    /// <inheritdoc/>
    public override string Kind => "trace";

    /// <inheritdoc/>
    public override string Address => $"{Path},{Inner.Kind}:{Inner.Address}";

    private protected override void AppendTo(StringBuilder text)
    {
        AppendPath(text.Append("trace:"), Path);
        AppendInner(text.Append(','), Inner);
    }
}

/// <summary>
/// <c>volatile:SEED,NODE</c>: a file or disk behind a cache that ends with the process, as one in a disk ends with its
/// power. For tests.
/// </summary>
/// <param name="Seed">Picks what reaches the node behind before a flush; 0 for nothing.</param>
/// <param name="Inner">The node behind: file or dev.</param>
public sealed record VolatileNodeSpec(int Seed, NodeSpec Inner) : NodeSpec
{
    /// <inheritdoc/>
    public override string Kind => "volatile";

    /// <inheritdoc/>
    public override string Address =>
        string.Create(CultureInfo.InvariantCulture, $"{Seed},{Inner.Kind}:{Inner.Address}");

    private protected override void AppendTo(StringBuilder text) =>
        AppendInner(text.Append(CultureInfo.InvariantCulture, $"volatile:{Seed},"), Inner);
}
