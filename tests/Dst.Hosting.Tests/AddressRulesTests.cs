using Dst.Control;
using Xunit;

namespace Dst.Hosting.Tests;

public sealed class AddressRulesTests
{
    [Fact]
    public void Without_addresses_an_export_is_on_loopback_for_loopback()
    {
        AddressRules rules = AddressRules.Check("e", null, null);
        Assert.Equal("127.0.0.1:7003", Assert.Single(rules.Listen).ToString());
        Assert.Equal(["127.0.0.0/8", "::1/128"], rules.Allow.Texts);
    }

    [Theory]
    [InlineData("0.0.0.0:7003")]
    [InlineData("[::]:7003")]
    [InlineData("192.0.2.1")]
    public void A_wider_address_needs_allowed_clients(string listen)
    {
        ControlException refused = Assert.Throws<ControlException>(() => AddressRules.Check("e", [listen], []));
        Assert.Equal(ControlErrorCode.Usage, refused.Error.Code);
        Assert.Contains("--allow CIDR", refused.Message, StringComparison.Ordinal);
        AddressRules rules = AddressRules.Check("e", [listen, "unix:/run/e"], ["192.0.2.0/24"]);
        Assert.Equal((2, "192.0.2.0/24"), (rules.Listen.Count, Assert.Single(rules.Allow.Texts)));
    }

    [Theory]
    [InlineData("127.0.0.1:7003", "127.0.0.1")]
    [InlineData("unix:/run/a", "unix:/run/a")]
    public void An_address_given_twice_is_refused(string one, string two) =>
        Assert.Throws<ControlException>(() => AddressRules.Check("e", [one, two], []));

    [Fact]
    public void Lists_are_bounded()
    {
        string[] many = [.. Enumerable.Range(1, AddressRules.ListenMax + 1).Select(port => $"127.0.0.1:{port}")];
        Assert.Throws<ControlException>(() => AddressRules.Check("e", many, []));
        Assert.Equal(AddressRules.ListenMax, AddressRules.Check("e", many[1..], []).Listen.Count);
    }
}
