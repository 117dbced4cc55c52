using Dst.Interop;

namespace Dst.Net.Tests.Fuzz;

/// <summary>Looks at any bytes; says which way it took, by a small number. Fails by an exception.</summary>
/// <param name="input">The bytes end where memory ends.</param>
internal delegate int FuzzTarget(ReadOnlySpan<byte> input);

/// <summary>
/// Runs a parser on a corpus and on what can be made of it: DST_FUZZ_RUNS times, from DST_FUZZ_SEED on. An input that
/// takes a new way becomes one to start from. Inputs lie at the end of a page that none follows, so a read behind them
/// ends the process.
/// </summary>
internal sealed unsafe class Fuzzer : IDisposable
{
    public const int MaxBytes = 16 * 1024;

    private const int PageBytes = 4096;
    private const int PoolMax = 256;

    private readonly nint _memory;
    private readonly string _name;
    private readonly List<byte[]> _pool = [[]];
    private readonly HashSet<int> _ways = [];

    private Fuzzer(string name)
    {
        _name = name;
        int anonymous = LinuxAbi.MAP_PRIVATE | LinuxAbi.MAP_ANONYMOUS;
        _memory = Libc.Mmap(
            0, MaxBytes + PageBytes, LinuxAbi.PROT_READ | LinuxAbi.PROT_WRITE, anonymous, -1, 0);
        Assert.True(_memory > 0, "no memory");
        nint guard = Libc.Mmap(
            _memory + MaxBytes, PageBytes, LinuxAbi.PROT_NONE, anonymous | LinuxAbi.MAP_FIXED, -1, 0);
        Assert.Equal(_memory + MaxBytes, guard);
        foreach (string file in Directory.GetFiles(Path.Join(AppContext.BaseDirectory, "corpus", name)).Order(
            StringComparer.Ordinal))
        {
            _pool.Add(File.ReadAllBytes(file));
        }

        Assert.True(_pool.Count > 1, $"{name} has no corpus");
    }

    /// <summary>Fuzzes one parser.</summary>
    /// <param name="name">Folder of its corpus.</param>
    /// <param name="target">The parser and what must be true of it.</param>
    /// <param name="seal">Makes checksums right, in half of the runs.</param>
    public static void Run(string name, FuzzTarget target, Func<byte[], byte[]>? seal = null)
    {
        using Fuzzer fuzzer = new(name);
        int seeds = fuzzer._pool.Count;
        for (int i = 1; i < seeds; i++)
        {
            Assert.True(fuzzer.Try(fuzzer._pool[i], target) == 0, $"{name}: a file of the corpus is refused: {i}");
        }

        Mutator mutator = new((ulong)Counts.Of("DST_FUZZ_SEED", 1) * 0x9E3779B97F4A7C15);
        int runs = Counts.Of("DST_FUZZ_RUNS", 100_000);
        for (int run = 0; run < runs; run++)
        {
            byte[] source = fuzzer._pool[mutator.Next(fuzzer._pool.Count)];
            byte[] other = fuzzer._pool[mutator.Next(fuzzer._pool.Count)];
            byte[] input = mutator.Mutate(source, other, MaxBytes);
            if (seal is not null && mutator.Next(2) == 0)
            {
                input = seal(input);
            }

            if (fuzzer._ways.Add(fuzzer.Try(input, target)) && fuzzer._pool.Count < PoolMax)
            {
                fuzzer._pool.Add(input);
            }
        }

        Assert.True(fuzzer._ways.Count > 1, $"{name}: every input went the same way");
    }

    public void Dispose() => _ = Libc.Munmap(_memory, MaxBytes + PageBytes);

    private int Try(byte[] input, FuzzTarget target)
    {
        Span<byte> place = new((byte*)_memory + MaxBytes - input.Length, input.Length);
        input.CopyTo(place);
        try
        {
            return target(place);
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"{_name}: {Convert.ToHexStringLower(input)}", e);
        }
    }
}
