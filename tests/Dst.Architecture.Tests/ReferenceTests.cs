using System.Xml.Linq;

namespace Dst.Architecture.Tests;

/// <summary>
/// Project references point one way: to the kernel border on one side, to the pure core on the other.
/// </summary>
public sealed class ReferenceTests
{
    private static readonly Dictionary<string, string[]> Allowed = new(StringComparer.Ordinal)
    {
        ["Dst.Interop"] = [],
        ["Dst.Core"] = [],
        ["Dst.Control"] = [],
        ["Dst.Simulation"] = ["Dst.Core"],
        ["Dst.IO"] = ["Dst.Interop"],
        ["Dst.Ublk"] = ["Dst.Interop", "Dst.IO", "Dst.Core"],
        ["Dst.Nodes"] = ["Dst.Interop", "Dst.IO", "Dst.Core"],
        ["Dst.Net"] = ["Dst.Interop", "Dst.IO", "Dst.Core", "Dst.Nodes"],
        ["Dst.Hosting"] = ["Dst.Interop", "Dst.IO", "Dst.Core", "Dst.Nodes", "Dst.Net", "Dst.Control"],
    };

    private static readonly string[] MayBeUnsafe = ["Dst.Interop", "Dst.IO", "Dst.Ublk", "Dst.Nodes", "Dst.Net"];

    [Fact]
    public void ReferencesPointOnlyAlongTheAllowedArrows()
    {
        List<Project> projects = [.. Repository.Projects.Select(Project.Parse)];
        Assert.True(projects.Count >= 9, $"only {projects.Count} projects were found");
        Assert.Empty(WrongArrows(projects));
    }

    [Theory]
    [InlineData("Dst.Core", "Library", "Dst.IO")]
    [InlineData("Dst.Control", "Library", "Dst.Core")]
    [InlineData("Dst.Interop", "Library", "Dst.IO")]
    [InlineData("Dst.Nodes", "Library", "Dst.Ublk")]
    [InlineData("Dst.Nodes", "Library", "Dst.Net")]
    [InlineData("Dst.Net", "Library", "Dst.Ublk")]
    [InlineData("Dst.Net", "Library", "Dst.Hosting")]
    [InlineData("Dst.Hosting", "Library", "Dst.Ublk")]
    [InlineData("Dst.Ublk", "Library", "Dst.Nodes")]
    [InlineData("Dst.Daemon", "Exe", "Dst.Target")]
    [InlineData("Dst.Unknown", "Library", "Dst.Core")]
    public void AnArrowTurnedRoundIsFound(string name, string output, string reference)
    {
        string xml = $"""
            <Project><PropertyGroup><OutputType>{output}</OutputType></PropertyGroup>
            <ItemGroup><ProjectReference Include="../{reference}/{reference}.csproj" /></ItemGroup></Project>
            """;
        Assert.NotEmpty(WrongArrows([Project.Parse(new RepositoryFile($"src/{name}/{name}.csproj", xml))]));
    }

    [Fact]
    public void UnsafeCodeIsAllowedOnlyAtTheBorder() =>
        Assert.Empty(WrongUnsafe(Repository.Projects.Select(Project.Parse)));

    [Fact]
    public void UnsafeCodeElsewhereIsFound()
    {
        const string Xml =
            "<Project><PropertyGroup><AllowUnsafeBlocks>true</AllowUnsafeBlocks></PropertyGroup></Project>";
        Assert.NotEmpty(WrongUnsafe([Project.Parse(new RepositoryFile("src/Dst.Core/Dst.Core.csproj", Xml))]));
    }

    [Fact]
    public void EverySourceProjectIsAotCompatible() =>
        Assert.Empty(WrongAot(Repository.Find("Directory.Build.props"), Repository.Projects));

    [Fact]
    public void AProjectThatIsNotAotCompatibleIsFound()
    {
        RepositoryFile props = Repository.Find("Directory.Build.props");
        RepositoryFile off = new(
            "src/Dst.Cli/Dst.Cli.csproj",
            "<Project><PropertyGroup><OutputType>Library</OutputType><IsAotCompatible>false</IsAotCompatible>"
            + "</PropertyGroup></Project>");
        RepositoryFile managed = new(
            "src/Dst.Cli/Dst.Cli.csproj",
            "<Project><PropertyGroup><OutputType>Exe</OutputType></PropertyGroup></Project>");
        Assert.Single(WrongAot(props, [off]));
        Assert.Single(WrongAot(props, [managed]));
        Assert.Single(WrongAot(new RepositoryFile("Directory.Build.props", "<Project />"), []));
    }

    private static List<string> WrongArrows(IEnumerable<Project> projects)
    {
        List<string> wrong = [];
        foreach (Project project in projects)
        {
            if (!project.IsExecutable && !Allowed.ContainsKey(project.Name))
            {
                wrong.Add($"{project.Name} is a library that no rule names");
            }

            string[] mayReference = project.IsExecutable
                ? [.. Allowed.Keys]
                : Allowed.GetValueOrDefault(project.Name, []);
            wrong.AddRange(
                project.References.Except(mayReference, StringComparer.Ordinal).Select(to => $"{project.Name} → {to}"));
        }

        return wrong;
    }

    private static List<string> WrongUnsafe(IEnumerable<Project> projects) =>
    [
        .. projects.Where(project => project.IsUnsafe).Select(project => project.Name)
            .Except(MayBeUnsafe, StringComparer.Ordinal),
    ];

    private static List<string> WrongAot(RepositoryFile props, IEnumerable<RepositoryFile> projects)
    {
        List<string> wrong = [];
        bool isDefault = XDocument.Parse(props.Text).Descendants("IsAotCompatible").Any(property =>
        {
            string condition = property.Parent?.Attribute("Condition")?.Value ?? "";
            return property.Value is "true" && condition.Contains("IsSourceProject", StringComparison.Ordinal);
        });
        if (!isDefault)
        {
            wrong.Add($"{props.Path} makes source projects not AOT compatible");
        }

        foreach (Project project in projects.Select(Project.Parse))
        {
            if (project.Values("IsAotCompatible").Any(value => value is not "true"))
            {
                wrong.Add($"{project.Name} takes IsAotCompatible back");
            }

            if (project.IsExecutable && project.Values("PublishAot") is not ["true"])
            {
                wrong.Add($"{project.Name} is not published as a native binary");
            }
        }

        return wrong;
    }

    private sealed record Project(string Name, XDocument Document)
    {
        public bool IsExecutable => Values("OutputType").Contains("Exe", StringComparer.Ordinal);

        public bool IsUnsafe => Values("AllowUnsafeBlocks").Contains("true", StringComparer.OrdinalIgnoreCase);

        public IEnumerable<string> References => Document.Descendants("ProjectReference")
            .Select(reference => Path.GetFileNameWithoutExtension(
                reference.Attribute("Include")!.Value.Replace('\\', '/')));

        public static Project Parse(RepositoryFile file) =>
            new(Path.GetFileNameWithoutExtension(file.Path), XDocument.Parse(file.Text));

        public string[] Values(string property) =>
            [.. Document.Descendants(property).Select(element => element.Value.Trim())];
    }
}
