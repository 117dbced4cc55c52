using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Simulation.Engine;

namespace Dst.Simulation.Servers;

/// <summary>What became of a hold.</summary>
internal enum HoldEvent
{
    /// <summary>The export was made.</summary>
    Made,

    /// <summary>An epoch was granted to a device.</summary>
    Granted,

    /// <summary>A BEGIN was accepted.</summary>
    Begun,

    /// <summary>GOODBYE: nobody holds, and who did may come back.</summary>
    Ended,

    /// <summary>An operator: nobody holds, and no epoch that was granted before may be replaced.</summary>
    Released,
}

/// <summary>
/// Who held an export, as the chain of what happened to it; a value, so that a disk may have an older one than the
/// server. The compare-and-swap of S-02 and the rule of one writer (S-04) are told here a second time: from what
/// happened, where the product compares the numbers of a record.
/// </summary>
/// <param name="What">What happened last.</param>
/// <param name="Epoch">The epoch that was granted or begun.</param>
/// <param name="Device">To whom.</param>
/// <param name="Before">What happened before; null for a new export.</param>
internal sealed record HoldStory(HoldEvent What, ulong Epoch, DeviceId Device, HoldStory? Before)
{
    /// <summary>A new export.</summary>
    public static HoldStory New { get; } = new(HoldEvent.Made, 0, default, null);

    /// <summary>The newest epoch that was begun, or that a release used up; 0 for none.</summary>
    private ulong UsedLast => Find(HoldEvent.Begun, HoldEvent.Released)?.Epoch ?? 0;

    /// <summary>What the step from one record to the next adds; fails where a record says two things at once.</summary>
    /// <param name="before">What the server went by.</param>
    /// <param name="after">What it wants to write.</param>
    public HoldStory Then(in HoldRecord before, in HoldRecord after)
    {
        bool ends = before.Held && !after.Held;
        if (ends && after.Granted > before.Granted)
        {
            World.Check(
                after.Used == after.Granted && after.Holder == before.Holder,
                $"a release leaves {after.Granted}/{after.Used} after {before.Granted}/{before.Used}");
            return new HoldStory(HoldEvent.Released, after.Used, default, this);
        }

        bool grants = after.Granted > before.Granted;
        bool begins = after.Used > before.Used;
        World.Check(
            after.Granted >= before.Granted && after.Used >= before.Used && after.Used <= after.Granted,
            $"epochs go back, {before.Granted}/{before.Used} to {after.Granted}/{after.Used}");
        World.Check(
            grants ? after.Held && !begins : after.Holder == before.Holder && (before.Held || !after.Held),
            $"the holder changes without a grant of an epoch of its own, {before.Granted} to {after.Granted}");
        if (grants)
        {
            return new HoldStory(HoldEvent.Granted, after.Granted, after.Holder, this);
        }

        if (begins)
        {
            World.Check(
                What == HoldEvent.Granted && Epoch == after.Used,
                $"epoch {after.Used} begins, the last that happened is {What} {Epoch}");
            return new HoldStory(HoldEvent.Begun, after.Used, Device, this);
        }

        return ends ? new HoldStory(HoldEvent.Ended, 0, default, this) : this;
    }

    /// <summary>Why the ATTACH may not be granted now; null when it may (S-02, S-04).</summary>
    public string? Against(in AttachMessage attach)
    {
        HoldStory? last = Find(HoldEvent.Granted, HoldEvent.Granted);
        bool held = last is not null && What is not (HoldEvent.Ended or HoldEvent.Released);
        if (held && last!.Device != attach.Device)
        {
            return attach.TakeOver && attach.Replaces == UsedLast
                ? null
                : $"another device holds it, epoch {UsedLast} is the newest used, take-over: {attach.TakeOver}";
        }

        if (attach.Replaces == 0)
        {
            return held && HasUsedSinceItCame(attach.Device) ? "it holds it and has used it" : null;
        }

        bool right = attach.Replaces == UsedLast || IsGrantedSince(attach.Device, attach.Replaces);
        return right ? null : $"epoch {UsedLast} is the newest used, and that one was not granted to it since";
    }

    private HoldStory? Find(HoldEvent what, HoldEvent or)
    {
        HoldStory? story = this;
        while (story is not null && story.What != what && story.What != or)
        {
            story = story.Before;
        }

        return story;
    }

    private bool HasUsedSinceItCame(DeviceId device)
    {
        HoldStory story = this;
        while (story.What == HoldEvent.Granted && story.Device == device)
        {
            story = story.Before!;
        }

        return story.What == HoldEvent.Begun && story.Device == device;
    }

    private bool IsGrantedSince(DeviceId device, ulong epoch)
    {
        HoldStory story = What == HoldEvent.Ended ? Before! : this;
        while (story.What == HoldEvent.Granted && story.Device == device)
        {
            if (story.Epoch == epoch)
            {
                return true;
            }

            story = story.Before!;
        }

        return false;
    }
}
