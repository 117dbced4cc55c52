using Dst.Simulation.Checks;

namespace Dst.Sim;

/// <summary>Prints which pairs of state and event no seed has met.</summary>
internal static class CoverageReport
{
    /// <summary>One line per state: how many pairs were met, and the names of the others.</summary>
    public static void Print(Coverage coverage)
    {
        foreach (Machine machine in Enum.GetValues<Machine>())
        {
            string?[] events = CoverageNames.Events(machine);
            string[] states = CoverageNames.States(machine);
            for (int state = 0; state < states.Length; state++)
            {
                List<string> missing = [];
                int met = 0;
                for (int i = 0; i < events.Length; i++)
                {
                    if (events[i] is not { } name)
                    {
                        continue;
                    }

                    if (coverage.Count(machine, state, i) > 0)
                    {
                        met++;
                    }
                    else
                    {
                        missing.Add(name);
                    }
                }

                int pairs = met + missing.Count;
                string rest = string.Join(", ", missing);
                Console.WriteLine($"coverage {machine} {states[state]}: {met} of {pairs} met; not: {rest}");
            }
        }
    }
}
