using CsCheck;
using Xunit;

namespace Dst.Core.Tests.Sessions.Client;

public sealed class ClientWorldTests
{
    private const int Requests = 150;
    private const int Runs = 300;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void No_fault_is_seen_no_write_is_lost_and_none_is_old(bool writeBack)
    {
        long epochs = 0;
        long replays = 0;
        Gen.Int.Sample(
            seed =>
            {
                ClientWorld world = new(seed, writeBack);
                world.Run(Requests);
                Interlocked.Add(ref epochs, world.Epochs);
                Interlocked.Add(ref replays, world.Replays);
                return world.Completions == Requests;
            },
            iter: Runs);
        Assert.True(epochs > 1000, $"only {epochs} epochs");
        Assert.Equal(writeBack, replays > 100);
    }
}
