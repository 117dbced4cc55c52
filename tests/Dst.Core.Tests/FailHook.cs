using Xunit;

namespace Dst.Core.Tests;

/// <summary>What a broken assertion throws in tests, where the process must live on.</summary>
internal sealed class MustFailedException(string message) : Exception(message);

internal static class MustFail
{
    /// <summary>Runs an action that must break an assertion; gives the assertion's message.</summary>
    internal static string Message(Action action)
    {
        Must.FailHook = static message => throw new MustFailedException(message);
        try
        {
            return Assert.Throws<MustFailedException>(action).Message;
        }
        finally
        {
            Must.FailHook = null;
        }
    }

    /// <summary>Runs an action in which a broken assertion fails the test instead of ending the process.</summary>
    internal static void Never(Action action)
    {
        Must.FailHook = static message => throw new MustFailedException(message);
        try
        {
            action();
        }
        finally
        {
            Must.FailHook = null;
        }
    }
}
