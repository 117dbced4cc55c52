using System.Text.RegularExpressions;

namespace Dst.Architecture.Tests;

/// <summary>What source files may not hold: waiting and clocks on the road of a request, too many lines anywhere.</summary>
public sealed partial class SourceTests
{
    private const int LinesMax = 600;

    private static readonly string[] DataPlane =
    [
        "src/Dst.Core", "src/Dst.IO/Rings", "src/Dst.IO/Measure", "src/Dst.Nodes/Engine", "src/Dst.Nodes/Legs", "src/Dst.Nodes/Local",
        "src/Dst.Nodes/Faults", "src/Dst.Ublk/Queues", "src/Dst.Net/Server/Engine", "src/Dst.Net/Client/Lanes",
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
    public void AForbiddenWordIsFound(string path, string code) => Assert.NotEmpty(ForbiddenWords(new RepositoryFile(path, code)));

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

    private static IEnumerable<string> TooLong(IEnumerable<RepositoryFile> files) =>
        from file in files
        let lines = file.Text.Count(c => c == '\n')
        where lines > LinesMax
        select $"{file.Path}: {lines} lines";

    private static IEnumerable<string> ForbiddenWords(RepositoryFile file)
    {
        string code = NotCode().Replace(file.Text, " ");
        Regex forbidden = file.IsIn(DataPlane) ? ForbiddenOnTheRoad() : ForbiddenEverywhere();
        return forbidden.Matches(code).Select(match => $"{file.Path}: {match.Value.Trim()}");
    }

    [GeneratedRegex(@"\bSuppressGCTransition|\bDateTime\s*\.\s*(Utc)?Now\b", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 10_000)]
    private static partial Regex ForbiddenEverywhere();

    [GeneratedRegex(
        @"\bSuppressGCTransition|\bDateTime(Offset)?\s*\.\s*(Utc)?Now\b|\basync\b|\bawait\b|\block\s*\(|\b(Value)?Task\b",
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
