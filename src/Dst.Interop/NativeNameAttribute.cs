namespace Dst.Interop;

/// <summary>
/// Says which C structure or member a struct or field mirrors, so that sizes and offsets can be checked by machine.
/// Constants need none: they carry the C name themselves.
/// </summary>
/// <param name="name">Tag of the C structure, or the member's path within it (<c>sq_off.head</c>).</param>
[AttributeUsage(AttributeTargets.Struct | AttributeTargets.Field)]
public sealed class NativeNameAttribute(string name) : Attribute
{
    /// <summary>Tag of the C structure, or the member's path within it.</summary>
    public string Name { get; } = name;

    /// <summary>Bytes that the C# struct has beyond the C structure, where the kernel appends them by a flag.</summary>
    public int ExtraBytes { get; init; }
}
