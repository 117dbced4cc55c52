using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Dst.Interop.Tests;

/// <summary>What C# says of every name it mirrors, in the words of the list.</summary>
internal static class AbiMirror
{
    /// <summary>All types of Dst.Interop.</summary>
    internal static IEnumerable<Type> Types => typeof(NativeNameAttribute).Assembly.GetExportedTypes();

    internal static IEnumerable<KeyValuePair<string, long>> Of(IEnumerable<Type> types) =>
        types.SelectMany(t => Constants(t).Concat(PerArchitecture(t)).Concat(Layout(t))).DistinctBy(f => f);

    internal static IEnumerable<FieldInfo> ConstantFields(Type type) =>
        type.IsEnum ? [] : type.GetFields(BindingFlags.Public | BindingFlags.Static).Where(f => f.IsLiteral);

    private static IEnumerable<KeyValuePair<string, long>> Constants(Type type) =>
        from field in ConstantFields(type)
        select new KeyValuePair<string, long>($"const {field.Name}", Signed(field.GetRawConstantValue()!));

    // Flags that Tmds.LibC picks by architecture; the list is that of x86-64.
    private static IEnumerable<KeyValuePair<string, long>> PerArchitecture(Type type) =>
        RuntimeInformation.ProcessArchitecture != Architecture.X64
            ? []
            : from property in type.GetProperties(BindingFlags.Public | BindingFlags.Static)
              where property.PropertyType == typeof(int) && !property.Name.Any(char.IsLower)
              select new KeyValuePair<string, long>($"const {property.Name}", (int)property.GetValue(null)!);

    private static IEnumerable<KeyValuePair<string, long>> Layout(Type type)
    {
        if (type.GetCustomAttribute<NativeNameAttribute>() is not { } native)
        {
            yield break;
        }

        yield return new($"size {native.Name}", SizeOf(type) - native.ExtraBytes);
        foreach (FieldInfo field in Fields(type))
        {
            string name = $"{native.Name}.{field.GetCustomAttribute<NativeNameAttribute>()?.Name ?? field.Name}";
            yield return new($"offset {name}", OffsetOf(type, field));

            // The area that SQE128 appends has no width of its own in C.
            if (native.ExtraBytes == 0 || field.FieldType.IsPrimitive)
            {
                yield return new($"width {name}", SizeOf(field.FieldType));
            }
        }
    }

    internal static FieldInfo[] Fields(Type type) =>
        type.GetFields(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance);

    private static long Signed(object value) => value is ulong large ? unchecked((long)large) : Convert.ToInt64(value);

    private static int SizeOf(Type type) =>
        (int)typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!.MakeGenericMethod(type).Invoke(null, null)!;

    /// <summary>Where the runtime really puts the field, not where a marshaller would.</summary>
    private static long OffsetOf(Type type, FieldInfo field)
    {
        DynamicMethod method = new("OffsetOf", typeof(long), [], typeof(AbiMirror).Module, skipVisibility: true);
        ILGenerator il = method.GetILGenerator();
        LocalBuilder value = il.DeclareLocal(type);
        il.Emit(OpCodes.Ldloca, value);
        il.Emit(OpCodes.Ldflda, field);
        il.Emit(OpCodes.Conv_U);
        il.Emit(OpCodes.Ldloca, value);
        il.Emit(OpCodes.Conv_U);
        il.Emit(OpCodes.Sub);
        il.Emit(OpCodes.Conv_I8);
        il.Emit(OpCodes.Ret);
        return (long)method.Invoke(null, null)!;
    }
}
