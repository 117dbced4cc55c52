using System.Runtime.InteropServices;
using System.Text;

namespace Dst.Interop;

/// <summary>A string as C wants it, in native memory until disposed; null stays null.</summary>
internal readonly unsafe struct ZeroTerminated : IDisposable
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    internal ZeroTerminated(string? text)
    {
        if (text is null)
        {
            return;
        }

        if (text.Contains('\0', StringComparison.Ordinal))
        {
            Error = -Errno.EINVAL;
            return;
        }

        try
        {
            int length = Strict.GetByteCount(text);
            Pointer = (byte*)NativeMemory.Alloc((nuint)length + 1);
            Strict.GetBytes(text, new Span<byte>(Pointer, length));
            Pointer[length] = 0;
        }
        catch (EncoderFallbackException)
        {
            Error = -Errno.EILSEQ;
        }
    }

    /// <summary>0, or -errno when the string cannot be handed over.</summary>
    internal int Error { get; }

    /// <summary>The C string, or null.</summary>
    internal byte* Pointer { get; }

    public void Dispose() => NativeMemory.Free(Pointer);
}

/// <summary>A list of strings as execve wants it, in native memory until disposed.</summary>
internal readonly unsafe struct ZeroTerminatedList : IDisposable
{
    private readonly ZeroTerminated[] _items;

    internal ZeroTerminatedList(IReadOnlyList<string> texts)
    {
        _items = new ZeroTerminated[texts.Count];
        Pointer = (byte**)NativeMemory.AllocZeroed((nuint)texts.Count + 1, (nuint)sizeof(byte*));
        for (int i = 0; i < texts.Count; i++)
        {
            _items[i] = new ZeroTerminated(texts[i]);
            Pointer[i] = _items[i].Pointer;
            Error = int.Min(Error, _items[i].Error);
        }
    }

    /// <summary>0, or -errno when one of the strings cannot be handed over.</summary>
    internal int Error { get; }

    /// <summary>The strings, then null.</summary>
    internal byte** Pointer { get; }

    public void Dispose()
    {
        foreach (ZeroTerminated item in _items)
        {
            item.Dispose();
        }

        NativeMemory.Free(Pointer);
    }
}
