namespace Dst.Core.Sessions.Client;

/// <summary>
/// How long to wait before the next attempt: doubled from 0.1 s to 10 s, half of it spread by a seeded sequence, so
/// that many clients do not come back together (S-30, N-18). One thread.
/// </summary>
/// <param name="seed">Any number.</param>
/// <param name="longestMs">Pauses end here; 0 for none at all.</param>
public sealed class RetryPause(ulong seed, int longestMs = ClientLimits.BackoffMaxMs)
{
    private const ulong Step = 0x9E3779B97F4A7C15;
    private ulong _state = seed;
    private int _failures;

    /// <summary>Begins again at the shortest.</summary>
    public void Reset() => _failures = 0;

    /// <summary>The next pause in milliseconds.</summary>
    public long Next()
    {
        int fullMs = int.Min(ClientLimits.BackoffMinMs, longestMs);
        for (int i = 0; i < _failures && fullMs < longestMs; i++)
        {
            fullMs = int.Min(2 * fullMs, longestMs);
        }

        _failures = int.Min(_failures + 1, 31);
        return fullMs / 2 + (long)(Draw() % (ulong)(fullMs / 2 + 1));
    }

    private ulong Draw()
    {
        _state += Step;
        ulong mixed = (_state ^ (_state >> 30)) * 0xBF58476D1CE4E5B9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
        return mixed ^ (mixed >> 31);
    }
}
