using Dst.Net.Server;

namespace Dst.Net.Tests;

/// <summary>Which exports the payload budget admits (S-31).</summary>
public sealed class AdmissionTests
{
    private const long BudgetBytes = ServerLimits.DefaultMemoryBytes;

    [Theory]
    [InlineData(false, 2)]
    [InlineData(true, 2)]
    [InlineData(false, 4)]
    public void What_fitted_once_comes_back_in_any_order(bool backwards, int engines)
    {
        using TestServer server = new(BudgetBytes);
        List<string> served = [];
        for (int i = 1; i <= 12; i++)
        {
            Add($"m{i}", returns: false, 2);
            if (i == 8)
            {
                server.Host.RemoveExport("m1", false, 5_000);
                Assert.True(served.Remove("m1"));
            }
        }

        if (backwards)
        {
            served.Reverse();
        }

        string[] all = [.. served];
        Restart();
        int refused = 0;
        foreach (string name in all)
        {
            try
            {
                Add(name, returns: false, 2);
            }
            catch (ServerException)
            {
                refused++;
            }
        }

        // Else this sequence would show nothing.
        Assert.True(backwards || refused > 0, "newcomers in this order fit as well");
        Restart();
        foreach (string name in all)
        {
            Add(name, returns: true, engines);
        }

        Assert.Equal(all.Length, server.Host.Status().Exports.Count);

        void Restart()
        {
            server.Stop();
            server.Start(BudgetBytes);
            served.Clear();
        }

        void Add(string name, bool returns, int threads)
        {
            server.Add("zero:16M", server.Settings(name, engines: threads) with { Returns = returns });
            served.Add(name);
        }
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(1 << 20)]
    [InlineData(BudgetBytes + 1)]
    public void A_memory_that_never_fits_is_wrong_input(long memoryBytes)
    {
        using TestServer server = new(BudgetBytes);
        ServerException refused = Assert.Throws<ServerException>(
            () => server.Add("zero:16M", server.Settings() with { MemoryBytes = memoryBytes }));
        Assert.Equal(ServerFault.WrongInput, refused.Fault);
        Assert.Contains("exports of this host may use 256M together", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_memory_that_does_not_fit_now_is_told_with_what_is_free()
    {
        using TestServer server = new(BudgetBytes);
        server.Add("zero:16M", server.Settings("a") with { MemoryBytes = 200 << 20 });
        ServerException refused = Assert.Throws<ServerException>(
            () => server.Add("zero:16M", server.Settings("b") with { MemoryBytes = 100 << 20 }));
        Assert.Equal(ServerFault.Failed, refused.Fault);
        Assert.Contains($"{56 << 20} bytes are free; remove one", refused.Message, StringComparison.Ordinal);
    }
}
