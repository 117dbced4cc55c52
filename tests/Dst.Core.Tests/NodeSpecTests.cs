using System.Globalization;
using CsCheck;
using Dst.Core.Requests;
using Dst.Core.Specs;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests;

public sealed class NodeSpecTests
{
    private static ErrorRule Rule(string text)
    {
        Assert.True(ErrorRule.TryParse(text, out ErrorRule? rule, out string? error), error);
        return rule;
    }

    private static NodeSpec Read(string text)
    {
        Assert.True(NodeSpec.TryParse(text, out NodeSpec? spec, out string? error), error);
        return spec;
    }

    private static NetworkNodeSpec Tcp(string host, int port, string export, NetworkOptions? options = null) =>
        new(host, port, null, export, options ?? new NetworkOptions());

    public static TheoryData<string, NodeSpec, string?> Taken => new()
    {
        { "file:/a.img", new FileNodeSpec("/a.img"), null },
        { "file:/a,size=4G", new FileNodeSpec("/a", 4L << 30), null },
        {
            "file:/a,buffered,sparse,offset=1M,size=1024K",
            new FileNodeSpec("/a", 1 << 20, 1 << 20, true, true),
            "file:/a,size=1M,offset=1M,sparse,buffered"
        },
        { "file:/a,offset=0", new FileNodeSpec("/a"), "file:/a" },
        { "file:/a,,b", new FileNodeSpec("/a,b"), null },
        { "file:/a,,,size=512", new FileNodeSpec("/a,", 512), null },
        { "file:/a,,,,b", new FileNodeSpec("/a,,b"), null },
        { "file:/a,,size=512", new FileNodeSpec("/a,size=512"), null },
        { "file:/a=b:c d", new FileNodeSpec("/a=b:c d"), null },
        { "file:/ä/日本/😀", new FileNodeSpec("/ä/日本/😀"), null },
        { "dev:/dev/sdb", new DeviceNodeSpec("/dev/sdb"), null },
        { "dev:/dev/by-path/pci-0000:00:1f.2,,1", new DeviceNodeSpec("/dev/by-path/pci-0000:00:1f.2,1"), null },
        { "zero:1T", new ZeroNodeSpec(1L << 40), null },
        { "mem:1000", new MemoryNodeSpec(1000), null },
        { "dst://host/disk1", Tcp("host", 7003, "disk1"), null },
        { "dst://Host.Example:7003/disk1", Tcp("host.example", 7003, "disk1"), "dst://host.example/disk1" },
        { "dst://192.0.2.7:65535/d", Tcp("192.0.2.7", 65535, "d"), null },
        { "dst://[::]/d", Tcp("::", 7003, "d"), null },
        { "dst://[FE80::1%eth0]:1/d", Tcp("fe80::1%eth0", 1, "d"), "dst://[fe80::1%eth0]:1/d" },
        { "dst://[1:2:3:4:5:6:7:8]/d", Tcp("1:2:3:4:5:6:7:8", 7003, "d"), null },
        { "dst://[::ffff:192.0.2.7]/d", Tcp("::ffff:192.0.2.7", 7003, "d"), null },
        {
            "dst://h/d,log=1024M,on-timeout=error,retry-time=120,retries=0,deadline=1500ms,checksum=none,connections=4",
            Tcp("h", 7003, "d", new NetworkOptions(
                4, ChecksumKind.None, 1500, 0, 120_000, TimeoutRule.Error, 1L << 30)),
            "dst://h/d,connections=4,checksum=none,deadline=1500ms,retries=0,retry-time=2m,on-timeout=error,log=1G"
        },
        { "dst+unix:/run/a,,b,export=d", new NetworkNodeSpec(null, 0, "/run/a,b", "d", new NetworkOptions()), null },
        {
            "dst+unix:/run/s,connections=2,export=d,on-timeout=queue",
            new NetworkNodeSpec(
                null, 0, "/run/s", "d", new NetworkOptions(Connections: 2, OnTimeout: TimeoutRule.Queue)),
            "dst+unix:/run/s,export=d,connections=2,on-timeout=queue"
        },
        { "delay:5,dst://h/d", new DelayNodeSpec(5, Tcp("h", 7003, "d")), null },
        { "delay:0,zero:1M", new DelayNodeSpec(0, new ZeroNodeSpec(1 << 20)), null },
        {
            "delay:0050,file:/a,,b,size=1M",
            new DelayNodeSpec(50, new FileNodeSpec("/a,b", 1 << 20)),
            "delay:50,file:/a,,b,size=1M"
        },
        { "volatile:7,file:/a,size=1M", new VolatileNodeSpec(7, new FileNodeSpec("/a", 1 << 20)), null },
        { "volatile:0,dev:/dev/sdb", new VolatileNodeSpec(0, new DeviceNodeSpec("/dev/sdb")), null },
        { "trace:/t,,x,dst://h/d", new TraceNodeSpec("/t,x", Tcp("h", 7003, "d")), null },
        { "error:all,mem:1M", new ErrorNodeSpec(Rule("all"), new MemoryNodeSpec(1 << 20)), null },
        {
            "error:write+read@3-:ENOSPC,delay:5,mem:1M",
            new ErrorNodeSpec(Rule("read+write@3-:ENOSPC"), new DelayNodeSpec(5, new MemoryNodeSpec(1 << 20))),
            "error:read+write@3-:ENOSPC,delay:5,mem:1M"
        },
        {
            "delay:1,delay:2,delay:3,delay:4,zero:1M",
            new DelayNodeSpec(
                1, new DelayNodeSpec(2, new DelayNodeSpec(3, new DelayNodeSpec(4, new ZeroNodeSpec(1 << 20))))),
            null
        },
    };

    [Theory]
    [MemberData(nameof(Taken))]
    public void Specification_is_read_and_written(string text, NodeSpec expected, string? canonical)
    {
        NodeSpec spec = Read(text);
        Assert.Equal(expected, spec);
        Assert.Equal(canonical ?? text, spec.ToString());
        Assert.Equal(spec, Read(spec.ToString()));
    }

    [Theory]
    [InlineData("", "no kind")]
    [InlineData("/a.img", "no kind")]
    [InlineData("fiel:/a", "unknown kind, expected file:PATH")]
    [InlineData("FILE:/a", "unknown kind")]
    [InlineData(":/a", "unknown kind")]
    [InlineData("nbd://host/x", "unknown kind")]
    [InlineData("dst:host/x", "no '//' after the colon")]
    [InlineData("dst://", "no export after a '/'")]
    [InlineData("dst://host", "no export after a '/'")]
    [InlineData("dst://host,connections=2", "no export after a '/'")]
    [InlineData("dst:///x", "a host is missing")]
    [InlineData("dst://host/", "a name is missing")]
    [InlineData("dst://host/a/b", "'/' is not allowed")]
    [InlineData("dst://host:/x", "port ':'")]
    [InlineData("dst://host:0/x", "1 to 65535")]
    [InlineData("dst://host:65536/x", "1 to 65535")]
    [InlineData("dst://host:+7/x", "1 to 65535")]
    [InlineData("dst://ho st/x", "no host name or address")]
    [InlineData("dst://user@host/x", "no host name or address")]
    [InlineData("dst://-host/x", "no host name or address")]
    [InlineData("dst://a..b/x", "no host name or address")]
    [InlineData("dst://1.2.3/x", "no IPv4 address")]
    [InlineData("dst://1.2.3.256/x", "no IPv4 address")]
    [InlineData("dst://1.2.3.04/x", "no IPv4 address")]
    [InlineData("dst://1.2.3.4.5/x", "no IPv4 address")]
    [InlineData("dst://::1/x", "stands in brackets")]
    [InlineData("dst://fe80::1/x", "stands in brackets")]
    [InlineData("dst://[::1/x", "no ']'")]
    [InlineData("dst://[::1]7003/x", "must be ':'")]
    [InlineData("dst://[]/x", "no IPv6 address")]
    [InlineData("dst://[host]/x", "no IPv6 address")]
    [InlineData("dst://[1::2::3]/x", "no IPv6 address")]
    [InlineData("dst://[:::]/x", "no IPv6 address")]
    [InlineData("dst://[1:2:3:4:5:6:7]/x", "no IPv6 address")]
    [InlineData("dst://[1:2:3:4:5:6:7:8:9]/x", "no IPv6 address")]
    [InlineData("dst://[1:2:3:4:5:6:7:8:]/x", "no IPv6 address")]
    [InlineData("dst://[12345::]/x", "no IPv6 address")]
    [InlineData("dst://[::1.2.3]/x", "no IPv6 address")]
    [InlineData("dst://[1.2.3.4::]/x", "no IPv6 address")]
    [InlineData("dst://[fe80::1%]/x", "no IPv6 address")]
    [InlineData("dst://host/x,", "an option is missing")]
    [InlineData("dst://host/x,export=y", "unknown option 'export'")]
    [InlineData("dst://host/x,conections=2", "unknown option 'conections', allowed are connections=")]
    [InlineData("dst://host/x,connections=0", "1 to 64")]
    [InlineData("dst://host/x,connections=65", "1 to 64")]
    [InlineData("dst://host/x,connections", "1 to 64")]
    [InlineData("dst://host/x,retries=-1", "0 to 1000000")]
    [InlineData("dst://host/x,checksum=md5", "must be none, crc32c or xxh3")]
    [InlineData("dst://host/x,deadline=", "followed by ms, s, m or h")]
    [InlineData("dst://host/x,deadline=0", "must be 1ms to 168h")]
    [InlineData("dst://host/x,deadline=169h", "must be 1ms to 168h")]
    [InlineData("dst://host/x,deadline=99999999999999999999", "must be 1ms to 168h")]
    [InlineData("dst://host/x,retry-time=5d", "followed by ms, s, m or h")]
    [InlineData("dst://host/x,on-timeout=fail", "must be queue or error")]
    [InlineData("dst://host/x,log=1M", "must be 16M to 64G")]
    [InlineData("dst://host/x,log=65G", "must be 16M to 64G")]
    [InlineData("dst://host/x,retries=1,retries=1", "retries is given twice")]
    [InlineData("dst+unix:///run/x", "export= is missing")]
    [InlineData("dst+unix:/run/x,export=", "a name is missing")]
    [InlineData("dst+unix:/run/x,export=a,export=b", "export is given twice")]
    [InlineData("dst+unix:,export=a", "a path is missing")]
    [InlineData("dst+unix:run/x,export=a", "relative")]
    [InlineData("file:", "a path is missing")]
    [InlineData("file:,size=4G", "a path is missing")]
    [InlineData("file:a.img", "relative")]
    [InlineData("file:/a,", "an option is missing")]
    [InlineData("file:/a,size=4G,", "an option is missing")]
    [InlineData("file:/a,size=4G,,sparse", "an option is missing")]
    [InlineData("file:/a,siz=4G", "unknown option 'siz', allowed are size=, offset=, sparse, buffered")]
    [InlineData("file:/a,Sparse", "unknown option 'Sparse'")]
    [InlineData("file:/a,b.img", "a comma in a path is written twice")]
    [InlineData("file:/a,size", "size needs a value")]
    [InlineData("file:/a,size=", "size needs a value")]
    [InlineData("file:/a,size=-1", "negative")]
    [InlineData("file:/a,size=9999999T", "larger than 2^63-1")]
    [InlineData("file:/a,size=1.5x", "whole number")]
    [InlineData("file:/a,size=0", "size=0 is no size")]
    [InlineData("file:/a,size=1000", "size=1000 is no multiple of the block size")]
    [InlineData("file:/a,offset=100", "offset=100 is no multiple of the block size")]
    [InlineData("file:/a,size=1M,size=2M", "size is given twice")]
    [InlineData("file:/a,sparse,sparse", "sparse is given twice")]
    [InlineData("file:/a,sparse=1", "sparse takes no value")]
    [InlineData("file:/a,buffered=", "buffered takes no value")]
    [InlineData("file:/a,size=8388607T,offset=1T", "together are larger")]
    [InlineData("file:/a\nb", "line break")]
    [InlineData("file:/a\0b", "NUL")]
    [InlineData("dev:", "a path is missing")]
    [InlineData("dev:sdb", "relative")]
    [InlineData("dev:/dev/sdb,buffered", "takes no options, found 'buffered'")]
    [InlineData("dev:/dev/sdb,", "takes no options")]
    [InlineData("zero:", "a size is missing")]
    [InlineData("zero:0", "size 0")]
    [InlineData("zero:1M,sparse", "whole number")]
    [InlineData("mem:-1", "negative")]
    [InlineData("mem:0K", "size 0")]
    [InlineData("delay:5", "no node after '5', expected delay:MS,NODE")]
    [InlineData("delay:5,", "no node after '5,'")]
    [InlineData("delay:,zero:1M", "must be a whole number of milliseconds")]
    [InlineData("delay:-5,zero:1M", "must be a whole number of milliseconds")]
    [InlineData("delay:1.5,zero:1M", "must be a whole number of milliseconds")]
    [InlineData("delay:3600001,zero:1M", "0 to 3600000")]
    [InlineData("delay:5,bogus:1", "unknown kind")]
    [InlineData("volatile:1,zero:1M", "must be file or dev, not zero")]
    [InlineData("volatile:-1,file:/a", "must be a whole number")]
    [InlineData("trace:/t", "no node after '/t', expected trace:PATH,NODE")]
    [InlineData("trace:,zero:1M", "a path is missing")]
    [InlineData("trace:/t,bogus:1", "unknown kind")]
    [InlineData("trace:/t,delay:1,delay:1,delay:1,error:all,zero:1M", "at most 4 deep")]
    [InlineData("delay:1,delay:1,delay:1,error:all,delay:1,zero:1M", "at most 4 deep")]
    [InlineData("error:read", "no node after 'read', expected error:WHEN,NODE")]
    [InlineData("error:,zero:1M", "unknown operation ''")]
    [InlineData("error:raed,zero:1M", "unknown operation 'raed', allowed are read, write, flush")]
    [InlineData("error:READ,zero:1M", "unknown operation 'READ'")]
    [InlineData("error:read+,zero:1M", "unknown operation ''")]
    [InlineData("error:read+all,zero:1M", "unknown operation 'all'")]
    [InlineData("error:read+read,zero:1M", "read is named twice")]
    [InlineData("error:read@,zero:1M", "must be N, N- or N-M")]
    [InlineData("error:read@0,zero:1M", "counted from 1")]
    [InlineData("error:read@-3,zero:1M", "must be N, N- or N-M")]
    [InlineData("error:read@5-3,zero:1M", "ends before it begins")]
    [InlineData("error:read@1-2-3,zero:1M", "must be N, N- or N-M")]
    [InlineData("error:read@99999999999999999999,zero:1M", "must be N, N- or N-M")]
    [InlineData("error:read:,zero:1M", "an error name must follow ':'")]
    [InlineData("error:read:EFOO,zero:1M", "unknown error name 'EFOO', known are EIO, ENOSPC")]
    [InlineData("error:read:eio,zero:1M", "unknown error name 'eio'")]
    [InlineData("error:read:5,zero:1M", "unknown error name '5'")]
    public void What_is_no_specification_is_refused_with_the_reason(string text, string reason)
    {
        Assert.False(NodeSpec.TryParse(text, out NodeSpec? spec, out string? error));
        Assert.Null(spec);
        Assert.Contains(reason, error, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error);
    }

    [Fact]
    public void Path_is_as_long_as_the_kernel_takes_it()
    {
        string longest = "/" + new string('x', 4094);
        Assert.Equal(new DeviceNodeSpec(longest), Read("dev:" + longest));
        Assert.False(NodeSpec.TryParse("dev:" + longest + "x", out _, out string? error));
        Assert.Contains("4096 bytes, at most 4095", error, StringComparison.Ordinal);
        Assert.True(error!.Length < 300);
        Assert.False(NodeSpec.TryParse("dev:/" + new string('ä', 2048), out _, out error));
        Assert.Contains("4097 bytes", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Half_a_character_is_refused()
    {
        Assert.False(NodeSpec.TryParse("file:/a\ud800b", out _, out string? error));
        Assert.Contains("no valid Unicode", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Endless_text_is_refused()
    {
        Assert.False(NodeSpec.TryParse("file:/" + new string('x', 20_000), out _, out string? error));
        Assert.Contains("longer than 16384", error, StringComparison.Ordinal);
        Assert.True(error!.Length < 300);
    }

    [Theory]
    [InlineData("file:a.img", "/srv/disks", "file:/srv/disks/a.img")]
    [InlineData("file:./a.img,size=4096M", "/srv/", "file:/srv/a.img,size=4G")]
    [InlineData("file:../a.img", "/srv/disks", "file:/srv/disks/../a.img")]
    [InlineData("file:a,,b", "/with,comma", "file:/with,,comma/a,,b")]
    [InlineData("file:a", "/", "file:/a")]
    [InlineData("file:/abs/a", "/srv", "file:/abs/a")]
    [InlineData("delay:5,error:all,file:a", "/srv", "delay:5,error:all,file:/srv/a")]
    [InlineData("dev:sdb", "/dev", "dev:/dev/sdb")]
    [InlineData("zero:1M", "/srv", "zero:1M")]
    [InlineData("dst+unix:s,export=d", "/run", "dst+unix:/run/s,export=d")]
    [InlineData("dst://h/d", "/run", "dst://h/d")]
    public void Relative_path_is_made_absolute(string text, string directory, string expected)
    {
        Assert.True(NodeSpec.WithAbsolutePaths(text, directory, out string? canonical, out string? error), error);
        Assert.Equal(expected, canonical);
    }

    [Fact]
    public void Rewriting_refuses_what_reading_refuses()
    {
        Assert.False(NodeSpec.WithAbsolutePaths("file:a,siz=4G", "/srv", out string? canonical, out string? error));
        Assert.Null(canonical);
        Assert.Contains("siz", error, StringComparison.Ordinal);
        Assert.False(NodeSpec.WithAbsolutePaths("file:a", "not/absolute", out _, out error));
        Assert.Contains("relative", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Kind_and_address_are_for_people()
    {
        NodeSpec spec = Read("delay:5,error:write@2:ENOSPC,file:/a,,b,size=1M");
        Assert.Equal("delay", spec.Kind);
        Assert.Equal("5,error:write@2:ENOSPC,file:/a,b", spec.Address);
        Assert.Equal("1M", Read("mem:1024K").Address);
        Assert.Equal("/a", Read("file:/a,size=1M").Address);
    }

    [Theory]
    [InlineData("write", Operation.Write, RequestFlags.None, true)]
    [InlineData("write", Operation.Write, RequestFlags.Fua, true)]
    [InlineData("write", Operation.WriteZeroes, RequestFlags.None, false)]
    [InlineData("fua", Operation.Write, RequestFlags.None, false)]
    [InlineData("fua", Operation.Write, RequestFlags.Fua, true)]
    [InlineData("fua", Operation.Read, RequestFlags.Fua, false)]
    [InlineData("fua+flush", Operation.Flush, RequestFlags.None, true)]
    [InlineData("zeroes", Operation.WriteZeroes, RequestFlags.NoUnmap, true)]
    [InlineData("discard", Operation.Discard, RequestFlags.None, true)]
    [InlineData("read", Operation.Discard, RequestFlags.None, false)]
    [InlineData("all", Operation.Read, RequestFlags.None, true)]
    [InlineData("all", Operation.Flush, RequestFlags.None, true)]
    public void Rule_matches_its_operations(string rule, Operation operation, RequestFlags flags, bool expected) =>
        Assert.Equal(expected, Rule(rule).Matches(operation, flags));

    [Theory]
    [InlineData("read", "11111", 5)]
    [InlineData("read@2", "01000", 5)]
    [InlineData("read@3-", "00111", 5)]
    [InlineData("read@2-4:ENODEV", "01110", 19)]
    [InlineData("read@1-1:EOPNOTSUPP", "10000", 95)]
    public void Rule_fails_the_operations_of_its_range(string text, string expected, int errno)
    {
        ErrorRule rule = Rule(text);
        Assert.Equal(expected, string.Concat(Enumerable.Range(1, 5).Select(n => rule.Fails(n) ? '1' : '0')));
        Assert.Equal(errno, rule.ErrnoNumber);
    }

    private static readonly Gen<string> GenPath =
        Gen.Char["abä日,=:+@ '\"%./\t"].Array[0, 12].Select(chars => "/" + new string(chars));

    private static readonly Gen<long> GenSize = Gen.Select(Gen.Long[1, 1L << 40], Gen.Int[0, 40])
        .Select((size, shift) => long.Max(1, size >> shift));

    private static readonly Gen<ErrorRule> GenRule =
        Gen.Select(
            Gen.Int[1, 63],
            Gen.Long[1, 9],
            Gen.Long[0, 9],
            Gen.Int[0, 3],
            Generators.Of("", ":EIO", ":EILSEQ", ":EAGAIN"))
            .Select((operations, first, more, shape, errno) =>
            {
                string[] names = ["read", "write", "flush", "discard", "zeroes", "fua"];
                string range = shape switch
                {
                    0 => "",
                    1 => $"@{first}",
                    2 => $"@{first}-",
                    _ => $"@{first}-{first + more}",
                };
                return Rule(string.Join('+', names.Where((_, i) => (operations >> i & 1) != 0)) + range + errno);
            });

    private static NetworkNodeSpec Network(int place, int port, int bits, long size)
    {
        string[] hosts = ["a", "a-b.example", "10.0.0.1", "::1", "2001:db8::7", ""];
        NetworkOptions options = new(
            (bits & 1) == 0 ? null : 1 + port % 64,
            (bits & 2) == 0 ? null : (ChecksumKind)(port % 3),
            (bits & 4) == 0 ? null : 1 + size % NetworkOptions.DurationMaxMs,
            (bits & 8) == 0 ? null : port,
            (bits & 16) == 0 ? null : port * 1000L,
            (bits & 32) == 0 ? null : (TimeoutRule)(port % 2),
            (bits & 64) == 0 ? null : NetworkOptions.LogMinBytes + size % (1 << 30));
        return hosts[place].Length == 0
            ? new NetworkNodeSpec(null, 0, "/run/,=" + (char)('a' + port % 26), "x.y", options)
            : Tcp(hosts[place], port, "x.y", options);
    }

    private static readonly Gen<NodeSpec> GenLeafSpec = Gen.OneOf(
        Gen.Select(GenPath, Gen.Long[0, 1L << 32], Gen.Long[0, 1L << 32], Gen.Bool, Gen.Bool)
            .Select((path, size, offset, sparse, buffered) => (NodeSpec)new FileNodeSpec(
                path, size % 3 == 0 ? null : (1 + size) * 512, offset % 3 == 0 ? 0 : offset * 512, sparse, buffered)),
        GenPath.Select(path => (NodeSpec)new DeviceNodeSpec(path)),
        Gen.Select(Gen.Int[0, 5], Gen.Int[1, 65535], Gen.Int[0, 127], GenSize).Select(
            (place, port, options, size) => (NodeSpec)Network(place, port, options, size)),
        GenSize.Select(size => (NodeSpec)new ZeroNodeSpec(size)),
        GenSize.Select(size => (NodeSpec)new MemoryNodeSpec(size)));

    private static readonly Gen<NodeSpec> GenSpec =
        Gen.Select(
            GenLeafSpec,
            Gen.Select(Gen.Int[0, NodeSpec.DelayMaxMs], GenRule, Gen.Bool).Array[0, NodeSpec.NestingMax])
            .Select((leaf, wrappers) => wrappers.Aggregate(
                leaf,
                (inner, w) => w.Item3 ? new DelayNodeSpec(w.Item1, inner) : new ErrorNodeSpec(w.Item2, inner)));

    [Fact]
    public void Written_specifications_are_read_back() =>
        GenSpec.Sample(spec => Assert.Equal(spec, Read(spec.ToString())), iter: 20_000);

    /// <summary>Texts made of the grammar's own pieces, torn and joined at random.</summary>
    [Fact]
    public void No_text_makes_the_parsers_throw()
    {
        string[] pieces =
        [
            "file:", "dev:", "zero:", "mem:", "delay:", "error:", ",", ",,", "=", ":", "@", "+", "-", "/a", "a",
            "size=", "offset=", "sparse", "buffered", "4G", "1", "0", "99999999999999999999", "read", "all", "fua",
            "EIO", "K", "dst://", "dst+unix:", "[", "]", "::", "/", "export=", "deadline=", "checksum=", "h",
            "\n", "\0", "\ud800", "ı", " ",
        ];
        Gen<string> fromPieces = Generators.Of(pieces).Array[0, 14].Select(string.Concat);
        Gen.OneOf(fromPieces, Gen.String).Sample(
            text =>
            {
                bool read = NodeSpec.TryParse(text, out NodeSpec? spec, out string? error);
                Assert.Equal(read, spec is not null);
                Assert.Equal(read, error is null);
                Assert.False(error?.Any(char.IsControl) ?? false, error);
                if (read)
                {
                    Assert.Equal(spec, Read(spec!.ToString()));
                }

                _ = NodeSpec.WithAbsolutePaths(text, "/srv", out _, out _);
                _ = ErrorRule.TryParse(text, out _, out _);
                _ = ByteSize.TryParse(text, out _, out _);
                _ = ObjectName.TryCheck(text, out _);
            },
            iter: 50_000);
    }

    /// <summary>
    /// Under the rules of Turkish where this process has them, and with other signs for numbers in any case: the
    /// product itself runs with no culture at all.
    /// </summary>
    [Fact]
    public void No_culture_changes_what_is_read_or_written()
    {
        CultureInfo saved = CultureInfo.CurrentCulture;
        try
        {
            CultureInfo culture = (CultureInfo)TurkishIfAny().Clone();
            culture.NumberFormat.NegativeSign = "~";
            culture.NumberFormat.PositiveSign = "#";
            culture.NumberFormat.NumberDecimalSeparator = ",";
            culture.NumberFormat.NumberGroupSeparator = ".";
            CultureInfo.CurrentCulture = culture;
            CultureInfo.CurrentUICulture = culture;
            Assert.Equal("~1", (-1).ToString(CultureInfo.CurrentCulture));

            Assert.Equal(new FileNodeSpec("/I/i", 4L << 30), Read("file:/I/i,size=4G"));
            Assert.Equal(
                "error:write+discard@2-3,delay:50,mem:1536M",
                Read("error:discard+write@2-3,delay:50,mem:1536M").ToString());
            Assert.False(NodeSpec.TryParse("FİLE:/a", out _, out _));
            Assert.False(NodeSpec.TryParse("delay:#5,mem:1M", out _, out _));
            Assert.False(ByteSize.TryParse("~1", out _, out _));
            Assert.Equal("1.5 GiB", ByteSize.Format(1536L << 20));
            Assert.False(ObjectName.TryCheck("aİ", out _));
            Assert.Contains("tag -1 of 1", MustFail.Message(OutOfTable), StringComparison.Ordinal);
        }
        finally
        {
            CultureInfo.CurrentCulture = saved;
            CultureInfo.CurrentUICulture = saved;
        }
    }

    private static void OutOfTable()
    {
        Volumes.VolumeMap map = new([4096], 512, 4096);
        new Transactions.TransactionTable(map, new Transactions.FlushLedger(1, 1), 0, 1).IsInFlight(-1);
    }

    private static CultureInfo TurkishIfAny()
    {
        try
        {
            return CultureInfo.GetCultureInfo("tr-TR");
        }
        catch (CultureNotFoundException)
        {
            return CultureInfo.InvariantCulture;
        }
    }
}
