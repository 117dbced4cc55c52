using Dst.Control;

namespace Dst.Cli;

/// <summary>Names that may be of a device or of an export: both share one space of names.</summary>
internal static class EitherKind
{
    /// <summary>Asks for the device, and when there is none for the export.</summary>
    /// <exception cref="ControlException">The failure of either; not-found when there is neither.</exception>
    public static async Task AskAsync(string name, Func<Task> device, Func<Task> export)
    {
        try
        {
            await device();
            return;
        }
        catch (ControlException failure) when (failure.Error.Code == ControlErrorCode.NotFound)
        {
            if (!failure.Error.Message.StartsWith("no device", StringComparison.Ordinal))
            {
                throw;
            }
        }

        try
        {
            await export();
        }
        catch (ControlException failure) when (failure.Error.Code == ControlErrorCode.NotFound)
        {
            throw new ControlException(
                ControlErrorCode.NotFound, $"no device or export named '{name}'; see dstctl list");
        }
    }
}
