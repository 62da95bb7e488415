/// The pair counts of BPE training: how often each pair of adjacent tokens occurs, and where.
struct PairTable {
  /// Where a pair occurs, or once occurred.
  struct Place {
    /// The position of the pair's left token.
    var position: Int
    var word: Int32
  }

  private struct Slot {
    /// `MergeTable.pair`, or `MergeTable.absent` in a free slot.
    var pair = MergeTable.absent
    var count = 0
    /// The pair's newest occurrence in `occurrences`, -1 for none.
    var newest: Int32 = -1
    /// The round in which the pair was last added to.
    var round: Int32 = 0
  }

  /// A link in a pair's list of places.
  private struct Occurrence {
    var place: Place
    var older: Int32
  }

  private var slots: [Slot]
  private var used = 0
  private var occurrences: [Occurrence] = []
  /// The head of the free list of occurrences.
  private var free: Int32 = -1

  init(capacity: Int) {
    let bits = max(12, capacity.bitWidth - capacity.leadingZeroBitCount + 1)
    slots = [Slot](repeating: Slot(), count: 1 << bits)
  }

  /// How often `pair` occurs.
  func count(of pair: UInt64) -> Int { slots[slot(for: pair)].count }

  /// Every pair and its count.
  var counts: some Sequence<(pair: UInt64, count: Int)> {
    slots.lazy.filter { $0.pair != MergeTable.absent }.map { ($0.pair, $0.count) }
  }

  /// Counts `pair` `count` times more at `place`; returns whether this is the pair's first addition in `round`.
  mutating func add(_ pair: UInt64, count: Int, at place: Place, round: Int32) -> Bool {
    let index = slot(for: pair)
    let isFirst = slots[index].pair == MergeTable.absent || slots[index].round != round
    slots[index].count += count
    slots[index].round = round
    slots[index].newest = link(place, older: slots[index].newest)
    if slots[index].pair == MergeTable.absent {
      slots[index].pair = pair
      used += 1
      if used * 2 > slots.count { grow() }
    }
    return isFirst
  }

  /// Counts `pair` `count` times less.
  mutating func subtract(_ pair: UInt64, count: Int) {
    slots[slot(for: pair)].count -= count
  }

  /// Moves the places where `pair` may occur to `places`, from left to right.
  mutating func takePlaces(of pair: UInt64, into places: inout [Place]) {
    places.removeAll(keepingCapacity: true)
    let index = slot(for: pair)
    var current = slots[index].newest
    slots[index].newest = -1
    while current >= 0 {
      let occurrence = occurrences[Int(current)]
      places.append(occurrence.place)
      occurrences[Int(current)].older = free
      free = current
      current = occurrence.older
    }
    places.sort { $0.position < $1.position }
  }

  private mutating func link(_ place: Place, older: Int32) -> Int32 {
    guard free >= 0 else {
      occurrences.append(Occurrence(place: place, older: older))
      return Int32(occurrences.count - 1)
    }
    let index = free
    free = occurrences[Int(index)].older
    occurrences[Int(index)] = Occurrence(place: place, older: older)
    return index
  }

  private func slot(for pair: UInt64) -> Int {
    let mask = slots.count - 1
    var index = Int(truncatingIfNeeded: (pair &* MergeTable.hashMultiplier) >> 20) & mask
    while slots[index].pair != pair, slots[index].pair != MergeTable.absent { index = (index + 1) & mask }
    return index
  }

  private mutating func grow() {
    let old = slots
    slots = [Slot](repeating: Slot(), count: old.count * 2)
    for entry in old where entry.pair != MergeTable.absent { slots[slot(for: entry.pair)] = entry }
  }
}
