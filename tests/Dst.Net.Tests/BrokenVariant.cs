using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Dst.Core;

namespace Dst.Net.Tests;

/// <summary>
/// With DST_MUTATION=NAME this process runs a deliberately broken variant of the core: by hand, to see tests fail.
/// </summary>
internal static class BrokenVariant
{
    [ModuleInitializer]
    [SuppressMessage("Usage", "CA2255", Justification = "Before any test, whichever is first.")]
    internal static void Choose()
    {
        if (Environment.GetEnvironmentVariable("DST_MUTATION") is { } name)
        {
            Mutations.Active = Enum.Parse<Mutation>(name);
        }
    }
}
