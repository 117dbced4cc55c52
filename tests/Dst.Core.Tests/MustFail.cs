using System.Runtime.CompilerServices;
using Xunit;

namespace Dst.Core.Tests;

/// <summary>What a broken assertion throws in these tests, where the process must live on.</summary>
internal sealed class MustFailedException(string message) : Exception(message);

internal static class MustFail
{
    /// <summary>Runs an action that must break an assertion; gives the assertion's message.</summary>
    internal static string Message(Action action) => Assert.Throws<MustFailedException>(action).Message;

    [ModuleInitializer]
    internal static void ThrowInsteadOfEnding() =>
        Must.FailHook = static message => throw new MustFailedException(message);
}
