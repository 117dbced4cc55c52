using Dst.Control;
using Dst.Core.Specs;
using Dst.Daemon.Kernel;

namespace Dst.Daemon.Store;

/// <summary>A record as found at start.</summary>
/// <param name="Name">Name of the object.</param>
/// <param name="Record">The newest whole generation; null when there is none.</param>
/// <param name="Warning">Set when it is not the newest one written.</param>
/// <param name="Problem">Why there is none.</param>
/// <param name="Untouchable">Written by a newer dstd.</param>
internal sealed record StoredRecord<T>(
    string Name, T? Record, string? Warning, string? Problem, bool Untouchable)
    where T : class;

/// <summary>The points at which a write can be interrupted, in order.</summary>
internal enum StoreStep
{
    Begin,
    Written,
    Synced,
    PreviousDropped,
    PreviousKept,
    Renamed,
    Done,
}

/// <summary>
/// The records of one kind in one folder. Whatever interrupts a write, the old or the new generation is found whole
/// afterwards; a failed write leaves the old one (D-01, D-23). Calls for one object must not overlap; those of
/// different ones may.
/// </summary>
/// <param name="form">What they are of.</param>
/// <param name="folder">The folder; it exists.</param>
/// <param name="fault">For tests: called at every step, may throw.</param>
internal sealed class RecordStore<T>(RecordForm<T> form, string folder, Action<StoreStep>? fault = null)
    where T : class
{
    private const string RecordSuffix = ".json";
    private const string PreviousSuffix = ".prev";
    private const string TemporarySuffix = ".tmp";
    private const UnixFileMode PrivateFile = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>Reads every record and clears away what interrupted writes left.</summary>
    /// <param name="stranger">
    /// Gets path and reason of each file that no object can have: it is left alone, nobody could name its object.
    /// </param>
    public IReadOnlyList<StoredRecord<T>> LoadAll(Action<string, string>? stranger = null)
    {
        SortedSet<string> names = new(StringComparer.Ordinal);
        foreach (string path in Directory.GetFiles(folder))
        {
            string file = Path.GetFileName(path);
            if (file.EndsWith(RecordSuffix + TemporarySuffix, StringComparison.Ordinal))
            {
                File.Delete(path);
            }
            else if (file.EndsWith(RecordSuffix + PreviousSuffix, StringComparison.Ordinal))
            {
                Add(path, file[..^(RecordSuffix + PreviousSuffix).Length]);
            }
            else if (file.EndsWith(RecordSuffix, StringComparison.Ordinal))
            {
                Add(path, file[..^RecordSuffix.Length]);
            }
        }

        return [.. names.Select(Load)];

        void Add(string path, string name)
        {
            if (ObjectName.TryCheck(name, out string? fault))
            {
                names.Add(name);
            }
            else
            {
                stranger?.Invoke(path, $"it is no record of dstd and is left alone: {fault}");
            }
        }
    }

    /// <summary>Stores a record durably, keeping the generation before it.</summary>
    /// <exception cref="ControlException">It could not be stored; the generation before is as it was.</exception>
    public void Save(T record)
    {
        string name = form.NameOf(record)!;
        string path = PathOf(name);
        RecordVerdict current = form.Read(path, name).Verdict;
        if (current == RecordVerdict.Newer)
        {
            throw new ControlException(
                ControlErrorCode.Failure, $"record {path} is of a newer dstd; it is left untouched");
        }

        try
        {
            WriteTemporary(path, form.Encode(record));
            if (current == RecordVerdict.Good)
            {
                KeepPrevious(path);
            }

            File.Move(path + TemporarySuffix, path, overwrite: true);
            fault?.Invoke(StoreStep.Renamed);
            Native.SyncDirectory(folder);
            fault?.Invoke(StoreStep.Done);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            DeleteQuietly(path + TemporarySuffix);
            throw new ControlException(
                ControlErrorCode.Failure, $"record of {form.Word} {name} cannot be stored: {OneLine(e)}");
        }
    }

    /// <summary>Removes a record durably.</summary>
    /// <exception cref="ControlException">It is of a newer dstd, or could not be removed.</exception>
    public void Remove(string name)
    {
        string path = PathOf(name);
        if (form.Read(path, name).Verdict == RecordVerdict.Newer)
        {
            throw new ControlException(
                ControlErrorCode.Failure, $"record {path} is of a newer dstd; it is left untouched");
        }

        try
        {
            // The older generation goes first: alone it would bring the device back.
            File.Delete(path + PreviousSuffix);
            File.Delete(path);
            Native.SyncDirectory(folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ControlException(
                ControlErrorCode.Failure, $"record of {form.Word} {name} cannot be removed: {OneLine(e)}");
        }
    }

    private StoredRecord<T> Load(string name)
    {
        string path = PathOf(name);
        (RecordVerdict verdict, T? record, string problem) = form.Read(path, name);
        if (verdict is RecordVerdict.Good)
        {
            return new(name, record, null, null, false);
        }

        if (verdict is RecordVerdict.Newer)
        {
            return new(name, null, null, $"record {path}: {problem}", true);
        }

        (RecordVerdict older, T? previous, string olderProblem) = form.Read(
            path + PreviousSuffix, name);
        return older switch
        {
            RecordVerdict.Good => new(
                name, previous, $"record {path} is damaged ({problem}); the generation before it is used", null, false),
            RecordVerdict.Newer => new(name, null, null, $"record {path}{PreviousSuffix}: {olderProblem}", true),
            _ => new(
                name,
                null,
                null,
                $"record {path} is damaged ({problem}), the generation before it too ({olderProblem})",
                false),
        };
    }

    /// <summary>Path of the newest generation.</summary>
    public string PathOf(string name) => $"{folder}/{name}{RecordSuffix}";

    private void WriteTemporary(string path, byte[] bytes)
    {
        fault?.Invoke(StoreStep.Begin);
        FileStreamOptions options = new()
        {
            Mode = FileMode.Create,
            Access = FileAccess.Write,
            BufferSize = 0,
            UnixCreateMode = PrivateFile,
        };
        using FileStream file = new(path + TemporarySuffix, options);
        file.Write(bytes);
        fault?.Invoke(StoreStep.Written);
        file.Flush(flushToDisk: true);
        fault?.Invoke(StoreStep.Synced);
    }

    private void KeepPrevious(string path)
    {
        File.Delete(path + PreviousSuffix);
        fault?.Invoke(StoreStep.PreviousDropped);
        if (Native.HardLink(path, path + PreviousSuffix) != 0)
        {
            throw new IOException($"{path}{PreviousSuffix}: {Native.LastErrorText()}");
        }

        fault?.Invoke(StoreStep.PreviousKept);
    }

    private static void DeleteQuietly(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Left for the next start.
        }
    }

    private static string OneLine(Exception e) => e.Message.ReplaceLineEndings(" ");
}

/// <summary>The stores of one state directory, whose folders exist.</summary>
internal static class RecordStores
{
    /// <summary>Records of devices.</summary>
    public static RecordStore<DeviceRecord> Devices(StateDirectory state, Action<StoreStep>? fault = null) =>
        new(RecordForms.Device, state.Devices, fault);

    /// <summary>Records of exports.</summary>
    public static RecordStore<ExportRecord> Exports(StateDirectory state, Action<StoreStep>? fault = null) =>
        new(RecordForms.Export, state.Exports, fault);
}
