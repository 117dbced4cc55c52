namespace Dst.Target;

/// <summary>
/// Lines for the operator on the inherited stderr. Control threads only; nothing on the road of a request writes.
/// </summary>
/// <param name="name">Name of the device.</param>
internal sealed class TargetLog(string name)
{
    /// <summary>Writes one line.</summary>
    public void Write(string line)
    {
        try
        {
            Console.Error.WriteLine($"dst-target {name}: {line}");
        }
        catch (IOException)
        {
            // Whoever read our stderr is gone; the device goes on.
        }
    }
}
