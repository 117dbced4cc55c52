namespace Dst.Hosting;

/// <summary>
/// Lines for the operator on the inherited stderr. Control threads only; nothing on the road of a request writes.
/// </summary>
/// <param name="who">Begins each line: the program and what it serves.</param>
public sealed class ProcessLog(string who)
{
    /// <summary>Writes one line.</summary>
    public void Write(string line)
    {
        try
        {
            Console.Error.WriteLine($"{who}: {line}");
        }
        catch (IOException)
        {
            // Whoever read our stderr is gone; serving goes on.
        }
    }
}
