namespace Dst.Cli.Output;

/// <summary>Rows in aligned columns, two blanks apart, no blanks at the ends of lines.</summary>
/// <param name="columns">Headings; one that starts with '&gt;' is aligned to the right, without that sign.</param>
internal sealed class TextTable(params string[] columns)
{
    private readonly List<string[]> _rows = [[.. columns.Select(c => c.TrimStart('>'))]];

    /// <summary>Adds a row; as many cells as columns.</summary>
    public void Add(params string[] cells)
    {
        if (cells.Length != columns.Length)
        {
            throw new ArgumentException($"{columns.Length} cells are needed", nameof(cells));
        }

        _rows.Add([.. cells.Select(Printable.Line)]);
    }

    /// <summary>Writes heading and rows, or only the rows.</summary>
    public void Write(TextWriter output, bool heading = true)
    {
        List<string[]> rows = heading ? _rows : _rows[1..];
        int[] widths = [.. columns.Select((_, i) => rows.Select(row => row[i].Length).DefaultIfEmpty().Max())];
        foreach (string[] row in rows)
        {
            IEnumerable<string> cells = row.Select((cell, i) =>
                columns[i].StartsWith('>') ? cell.PadLeft(widths[i]) : cell.PadRight(widths[i]));
            output.WriteLine(string.Join("  ", cells).TrimEnd());
        }
    }
}
