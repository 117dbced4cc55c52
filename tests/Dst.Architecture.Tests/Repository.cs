namespace Dst.Architecture.Tests;

/// <summary>One file of the repository; its path is relative to the root, with slashes.</summary>
internal sealed record RepositoryFile(string Path, string Text)
{
    internal string[] Lines => Text.Split('\n');

    internal bool IsIn(params string[] folders) =>
        folders.Any(folder => Path.StartsWith(folder + "/", StringComparison.Ordinal));

    internal bool Is(string extension) => Path.EndsWith(extension, StringComparison.Ordinal);
}

/// <summary>The files that belong to the repository: all but what builds and runs leave behind.</summary>
internal static class Repository
{
    private static readonly string[] Leftovers = [".git", ".cache", "artifacts", "bin", "obj", "TestResults"];

    internal static string Root { get; } = FindRoot();

    internal static IReadOnlyList<RepositoryFile> Files { get; } =
    [
        .. Walk(Root).Order(StringComparer.Ordinal)
            .Select(path => new RepositoryFile(path, File.ReadAllText(FullPath(path)))),
    ];

    internal static IEnumerable<RepositoryFile> Projects => Files.Where(file => file.IsIn("src") && file.Is(".csproj"));

    internal static IEnumerable<RepositoryFile> Sources => Files.Where(file => file.IsIn("src") && file.Is(".cs"));

    internal static IEnumerable<RepositoryFile> Scripts =>
        Files.Where(file => file.Is(".sh") || file.Path is ".ci/run");

    internal static RepositoryFile Find(string path) => Files.Single(file => file.Path == path);

    internal static string FullPath(string path) => Path.Join(Root, path);

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Join(folder.FullName, "Dst.Ublk.sln")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException($"no Dst.Ublk.sln above {AppContext.BaseDirectory}");
    }

    private static IEnumerable<string> Walk(string folder)
    {
        foreach (string entry in Directory.EnumerateFileSystemEntries(folder))
        {
            if (Leftovers.Contains(Path.GetFileName(entry), StringComparer.Ordinal))
            {
                continue;
            }

            if (!Directory.Exists(entry))
            {
                if (!entry.EndsWith(".swp", StringComparison.Ordinal))
                {
                    yield return Path.GetRelativePath(Root, entry);
                }
            }
            else if (new DirectoryInfo(entry).LinkTarget is null)
            {
                foreach (string path in Walk(entry))
                {
                    yield return path;
                }
            }
        }
    }
}
