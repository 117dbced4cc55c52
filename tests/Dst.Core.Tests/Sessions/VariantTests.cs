using Dst.Core.Tests.Sessions.Client;
using Xunit;
using Xunit.Sdk;

namespace Dst.Core.Tests.Sessions;

/// <summary>
/// The test of a rule passes with it and fails without it. A variant is a property of the process, so nothing else runs
/// meanwhile.
/// </summary>
[Collection(nameof(VariantTests))]
[CollectionDefinition(nameof(VariantTests), DisableParallelization = true)]
public sealed class VariantTests
{
    /// <summary>Variant, and a test of the rule that it lacks.</summary>
    private static readonly Dictionary<Mutation, Action> Noticers = new()
    {
        [Mutation.EpochUncheckedAtSubmit] =
            static () => new ServerLaneTests().A_request_of_an_epoch_that_is_over_never_runs(),
        [Mutation.HoldDroppedWithConnection] =
            static () => new ExportSessionTests().A_second_client_is_refused_with_the_holders_name(),
        [Mutation.ReleaseFencesNobody] =
            static () => new ExportSessionTests().Release_keeps_a_client_out_that_was_not_there(),
        [Mutation.FlushCoversTooMuch] =
            static () => new ReplayTests().Entries_leave_only_by_a_good_flush_that_was_issued_after_them(),
    };

    public static TheoryData<string> Variants => [.. Noticers.Keys.Select(variant => variant.ToString())];

    [Theory]
    [MemberData(nameof(Variants))]
    public void A_core_without_the_rule_is_noticed(string variant)
    {
        Mutation mutation = Enum.Parse<Mutation>(variant);
        Noticers[mutation]();
        Mutations.Active = mutation;
        try
        {
            Assert.ThrowsAny<XunitException>(Noticers[mutation]);
        }
        finally
        {
            Mutations.Active = Mutation.None;
        }
    }
}
