using System.Numerics;

namespace Dst.Simulation.Engine;

/// <summary>
/// The one source of chance: xoshiro256** of a seed, the same on every machine and build. Each use has a stream of its
/// own, so that leaving one kind of fault out does not shift the others (shrinking).
/// </summary>
internal sealed class Chance
{
    private ulong _s0;
    private ulong _s1;
    private ulong _s2;
    private ulong _s3;

    /// <summary>A stream.</summary>
    /// <param name="seed">Of the run.</param>
    /// <param name="stream">Number of the use.</param>
    public Chance(ulong seed, ulong stream)
    {
        ulong state = seed * 0x9E3779B97F4A7C15 ^ Mix(stream + 1);
        _s0 = Mix(state += 0x9E3779B97F4A7C15);
        _s1 = Mix(state += 0x9E3779B97F4A7C15);
        _s2 = Mix(state += 0x9E3779B97F4A7C15);
        _s3 = Mix(state + 0x9E3779B97F4A7C15);
    }

    /// <summary>64 random bits.</summary>
    public ulong Next()
    {
        ulong result = BitOperations.RotateLeft(_s1 * 5, 7) * 9;
        ulong t = _s1 << 17;
        _s2 ^= _s0;
        _s3 ^= _s1;
        _s1 ^= _s2;
        _s0 ^= _s3;
        _s2 ^= t;
        _s3 = BitOperations.RotateLeft(_s3, 45);
        return result;
    }

    /// <summary>0 to <paramref name="limit"/> - 1.</summary>
    public int Below(int limit) => (int)(((Next() >> 32) * (ulong)limit) >> 32);

    /// <summary>True once in a million draws times <paramref name="perMillion"/>.</summary>
    public bool PerMillion(int perMillion) => perMillion > 0 && Below(1_000_000) < perMillion;

    /// <summary>True once in <paramref name="n"/> draws.</summary>
    public bool OneIn(int n) => Below(n) == 0;

    /// <summary>128 random bits, not 0.</summary>
    public UInt128 Next128() => new(Next() | 1, Next());

    /// <summary>
    /// A wait with the given mean, as between independent events; the logarithm is a table of whole numbers because the
    /// last bit of a floating-point one may differ between machines.
    /// </summary>
    public long Wait(long mean)
    {
        // A sum of geometric halves: E = mean, tail like an exponential.
        int halves = BitOperations.TrailingZeroCount(Next() | (1UL << 20));
        return (mean * halves / 2) + (long)(Next() % (ulong)(mean + 1));
    }

    /// <summary>Spreads bits.</summary>
    public static ulong Mix(ulong x)
    {
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }
}
