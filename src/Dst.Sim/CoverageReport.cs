using Dst.Simulation.Checks;

namespace Dst.Sim;

/// <summary>Prints which pairs of state and event may come and were met by no seed.</summary>
internal static class CoverageReport
{
    /// <summary>One line for each such pair, then how many were met.</summary>
    public static void Print(Coverage coverage)
    {
        int possible = 0;
        int met = 0;
        foreach ((Machine machine, int state, int happened) in CoverageNames.Pairs)
        {
            if (!PossiblePairs.Has(machine, state, happened))
            {
                continue;
            }

            possible++;
            if (coverage.Count(machine, state, happened) > 0)
            {
                met++;
                continue;
            }

            string name = CoverageNames.States(machine)[state];
            Console.WriteLine($"unreached {machine} {name}: {CoverageNames.Events(machine)[happened]}");
        }

        int all = CoverageNames.Pairs.Count;
        Console.WriteLine($"coverage: {met} of {possible} possible pairs met, {all - possible} others cannot be");
    }
}
