namespace Dst.Nodes.Backings;

/// <summary>
/// Finds nodes of one volume that lie on the same file or disk (D-11). Locks do not: read-only volumes share theirs,
/// and one disk reached by two ways has two. Any thread; not on the road of a request.
/// </summary>
public static class SameBacking
{
    /// <summary>Index of the first node that has the same backing as another one, or -1.</summary>
    /// <param name="nodes">Open nodes.</param>
    /// <param name="other">An open node that is not among them.</param>
    public static int Find(IReadOnlyList<Node> nodes, Node other)
    {
        for (int i = 0; i < nodes.Count; i++)
        {
            if (AreSame(nodes[i], other))
            {
                return i;
            }
        }

        return -1;
    }

    private static bool AreSame(Node one, Node other)
    {
        if (one.Fd < 0 || other.Fd < 0
            || Native.Stat(one.Fd, out FileFacts first) != 0 || Native.Stat(other.Fd, out FileFacts second) != 0)
        {
            return false;
        }

        // A file and its copy in a snapshot have one identity and are two files; a disk by two ways has two numbers.
        return first.Kind == FileKind.Regular
            ? second.Kind == FileKind.Regular && first.IsSameFile(second)
            : string.Equals(one.Identity, other.Identity, StringComparison.Ordinal);
    }
}
