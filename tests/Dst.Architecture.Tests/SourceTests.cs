using System.Text.RegularExpressions;

namespace Dst.Architecture.Tests;

/// <summary>
/// What source files may not hold: waiting and clocks on the road of a request, lines too many or too wide anywhere.
/// </summary>
public sealed partial class SourceTests
{
    private const int LinesMax = 600;

    /// <summary>A node for tests that stands for a whole disk, cache and all.</summary>
    private const string BlocksOnPurpose = "src/Dst.Nodes/Faults/VolatileNode.cs";

    private static readonly string[] DataPlane =
    [
        "src/Dst.Core", "src/Dst.IO/Rings", "src/Dst.IO/Measure", "src/Dst.Nodes/Engine", "src/Dst.Nodes/Legs",
        "src/Dst.Nodes/Local", "src/Dst.Nodes/Faults", "src/Dst.Ublk/Queues", "src/Dst.Net/Server/Engine",
        "src/Dst.Net/Client/Lanes",
    ];

    [Fact]
    public void NothingWaitsOrAsksTheClockOnTheRoadOfARequest()
    {
        Assert.All(DataPlane, folder => Assert.Contains(Repository.Sources, file => file.IsIn(folder)));
        Assert.Empty(Repository.Sources.SelectMany(ForbiddenWords));
    }

    [Theory]
    [InlineData("src/Dst.Core/X.cs", "private async void F() { }")]
    [InlineData("src/Dst.IO/Rings/X.cs", "await Task.Yield();")]
    [InlineData("src/Dst.Nodes/Local/X.cs", "lock (_gate) { }")]
    [InlineData("src/Dst.Nodes/Engine/X.cs", "private Task _work;")]
    [InlineData("src/Dst.Ublk/Queues/X.cs", "long t = DateTimeOffset.UtcNow.Ticks;")]
    [InlineData("src/Dst.Daemon/X.cs", "var t = DateTime.Now;")]
    [InlineData("src/Dst.Interop/X.cs", "[SuppressGCTransition] static extern int F();")]
    public void AForbiddenWordIsFound(string path, string code) =>
        Assert.NotEmpty(ForbiddenWords(new RepositoryFile(path, code)));

    [Theory]
    [InlineData("// takes no lock (at all), never awaits a Task")]
    [InlineData("""Must.Fail("lock (x) and await Task");""")]
    [InlineData("NativeBlock.Allocate(1, x, locked: true); // async")]
    public void WordsInCommentsAndTextsAreNotMeant(string code) =>
        Assert.Empty(ForbiddenWords(new RepositoryFile("src/Dst.Core/X.cs", code)));

    [Fact]
    public void NoSourceFileIsTooLong() => Assert.Empty(TooLong(Repository.Sources));

    [Fact]
    public void ALongFileIsFound()
    {
        string text = string.Concat(Enumerable.Repeat("//\n", LinesMax + 1));
        Assert.Single(TooLong([new RepositoryFile("src/Dst.Core/X.cs", text)]));
        Assert.Empty(TooLong([new RepositoryFile("src/Dst.Core/X.cs", text[3..])]));
    }

    [Fact]
    public void NoLineIsTooWide()
    {
        Assert.True(Repository.Files.Count(file => ColumnsMax(file) > 0) > 100, "the search finds too few files");
        Assert.Empty(Repository.Files.SelectMany(TooWide));
    }

    [Theory]
    [InlineData("src/Dst.Core/X.cs", 120)]
    [InlineData("tests/e2e/x.sh", 120)]
    [InlineData("scripts/x.sh", 120)]
    [InlineData("native/x.c", 120)]
    [InlineData("tests/README.md", 120)]
    [InlineData("docs/x.md", 160)]
    public void AWideLineIsFound(string path, int columns)
    {
        string fits = new('ä', columns);
        Assert.Equal($"{path}:2", Assert.Single(TooWide(new RepositoryFile(path, $"{fits}\n{fits}x\n"))));
    }

    private static IEnumerable<string> TooWide(RepositoryFile file)
    {
        int columnsMax = ColumnsMax(file);
        return columnsMax == 0
            ? []
            : from line in file.Lines.Index()
              where line.Item.Length > columnsMax
              select $"{file.Path}:{line.Index + 1}";
    }

    /// <summary>Columns that a line of a file may have; 0 for files that nobody reads line by line.</summary>
    private static int ColumnsMax(RepositoryFile file)
    {
        if (file.IsIn("docs") && file.Is(".md"))
        {
            return 160;
        }

        bool isText = file.Is(".cs") || file.Is(".sh") || file.Is(".c") || file.Is(".md");
        return isText && file.IsIn("src", "tests", "native", "scripts") ? 120 : 0;
    }

    private static IEnumerable<string> TooLong(IEnumerable<RepositoryFile> files) =>
        from file in files
        let lines = file.Text.Count(c => c == '\n')
        where lines > LinesMax
        select $"{file.Path}: {lines} lines";

    private static IEnumerable<string> ForbiddenWords(RepositoryFile file)
    {
        string code = NotCode().Replace(file.Text, " ");
        bool strict = file.IsIn(DataPlane) && !string.Equals(file.Path, BlocksOnPurpose, StringComparison.Ordinal);
        Regex forbidden = strict ? ForbiddenOnTheRoad() : ForbiddenEverywhere();
        return forbidden.Matches(code).Select(match => $"{file.Path}: {match.Value.Trim()}");
    }

    [GeneratedRegex(
        @"\bSuppressGCTransition|\bDateTime\s*\.\s*(Utc)?Now\b",
        RegexOptions.ExplicitCapture,
        matchTimeoutMilliseconds: 10_000)]
    private static partial Regex ForbiddenEverywhere();

    [GeneratedRegex(
        @"\bSuppressGCTransition|\bDateTime(Offset)?\s*\.\s*(Utc)?Now\b|"
            + @"\basync\b|\bawait\b|\block\s*\(|\b(Value)?Task\b",
        RegexOptions.ExplicitCapture,
        matchTimeoutMilliseconds: 10_000)]
    private static partial Regex ForbiddenOnTheRoad();

    /// <summary>Raw, verbatim and plain texts, characters, comments.</summary>
    [GeneratedRegex(
        """"
        """[\s\S]*?"""|@"(""|[^"])*"|"(\\.|[^"\\\n])*"|'(\\.|[^'\\\n])+'|//[^\n]*|/\*[\s\S]*?\*/
        """",
        RegexOptions.ExplicitCapture,
        matchTimeoutMilliseconds: 10_000)]
    private static partial Regex NotCode();
}
