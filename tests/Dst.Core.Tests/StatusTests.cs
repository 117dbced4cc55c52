using Dst.Core.Requests;
using Xunit;

namespace Dst.Core.Tests;

public sealed class StatusTests
{
    /// <summary>C-10 written out once more, with the numbers of asm-generic/errno.h.</summary>
    public static TheoryData<DstStatus, int> ToKernel => new()
    {
        { DstStatus.Ok, 0 },
        { DstStatus.IoError, 5 },
        { DstStatus.NotSupported, 95 },
        { DstStatus.NoSpace, 28 },
        { DstStatus.TimedOut, 110 },
        { DstStatus.LinkLost, 67 },
        { DstStatus.TargetError, 121 },
        { DstStatus.ReservationConflict, 52 },
        { DstStatus.MediumError, 61 },
        { DstStatus.ProtectionError, 84 },
        { DstStatus.Offline, 19 },
        { DstStatus.ReadOnly, 5 },
        { DstStatus.Invalid, 22 },
    };

    [Theory]
    [MemberData(nameof(ToKernel))]
    public void Status_has_the_errno_of_the_table(DstStatus status, int errno) =>
        Assert.Equal(errno, RequestResult.ToErrno(status));

    [Fact]
    public void Table_names_every_status() => Assert.Equal(Enum.GetValues<DstStatus>().Length, ToKernel.Count);

    [Theory]
    [InlineData(0, DstStatus.Ok)]
    [InlineData(1, DstStatus.ReadOnly)]
    [InlineData(4, DstStatus.IoError)]
    [InlineData(5, DstStatus.IoError)]
    [InlineData(11, DstStatus.IoError)]
    [InlineData(12, DstStatus.IoError)]
    [InlineData(16, DstStatus.IoError)]
    [InlineData(19, DstStatus.Offline)]
    [InlineData(22, DstStatus.Invalid)]
    [InlineData(28, DstStatus.NoSpace)]
    [InlineData(30, DstStatus.ReadOnly)]
    [InlineData(52, DstStatus.ReservationConflict)]
    [InlineData(61, DstStatus.MediumError)]
    [InlineData(62, DstStatus.IoError)]
    [InlineData(67, DstStatus.LinkLost)]
    [InlineData(84, DstStatus.ProtectionError)]
    [InlineData(95, DstStatus.NotSupported)]
    [InlineData(110, DstStatus.TimedOut)]
    [InlineData(121, DstStatus.TargetError)]
    [InlineData(122, DstStatus.NoSpace)]
    [InlineData(-28, DstStatus.IoError)]
    [InlineData(int.MinValue, DstStatus.IoError)]
    public void Errno_of_a_node_has_its_status(int errno, DstStatus status) =>
        Assert.Equal(status, RequestResult.FromErrno(errno));

    [Fact]
    public void Whatever_a_node_says_the_kernel_hears_only_what_it_may()
    {
        int[] allowed = [0, 5, 19, 22, 28, 52, 61, 67, 84, 95, 110, 121];
        for (int errno = -200; errno <= 4096; errno++)
        {
            int told = RequestResult.ToErrno(RequestResult.FromErrno(errno));
            Assert.Contains(told, allowed);
            Assert.Equal(errno == 0, told == 0);
        }
    }

    [Fact]
    public void Status_outside_the_table_ends_the_process()
    {
        int beyond = Enum.GetValues<DstStatus>().Length;
        Assert.Contains("13", MustFail.Message(() => RequestResult.ToErrno((DstStatus)beyond)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(5, "EIO")]
    [InlineData(28, "ENOSPC")]
    [InlineData(9999, "9999")]
    public void Errno_has_a_name_for_people(int errno, string name) =>
        Assert.Equal(name, RequestResult.ErrnoName(errno));
}
