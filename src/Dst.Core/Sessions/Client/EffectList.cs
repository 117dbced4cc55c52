namespace Dst.Core.Sessions.Client;

/// <summary>
/// What a machine wants done, in order. Its driver carries out every effect after each call of the machine, then clears
/// the list. Allocates nothing after construction; owned by the machine's thread.
/// </summary>
/// <param name="capacity">Most effects between two drains; one more ends the process.</param>
/// <typeparam name="T">The machine's kind of effect.</typeparam>
public sealed class EffectList<T>(int capacity)
    where T : struct
{
    private readonly T[] _items = new T[capacity];

    /// <summary>Effects in the list.</summary>
    public int Count { get; private set; }

    /// <summary>An effect, in the order in which they are to be carried out.</summary>
    /// <param name="index">0 to <see cref="Count"/> - 1; effects may be added while the list is walked.</param>
    public ref readonly T this[int index]
    {
        get
        {
            Must.Be((uint)index < (uint)Count, $"effect {index} of {Count}");
            return ref _items[index];
        }
    }

    /// <summary>Forgets all effects, once they are carried out.</summary>
    public void Clear() => Count = 0;

    internal void Add(in T effect)
    {
        Must.Be(Count < _items.Length, $"more than {_items.Length} effects of {typeof(T).Name} without a drain");
        _items[Count++] = effect;
    }
}
