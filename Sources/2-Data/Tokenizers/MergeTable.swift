/// The BPE merges: an open-addressed table from a pair of adjacent tokens to the merged token and the merge's rank.
struct MergeTable: Sendable {
  struct Slot {
    /// Left id in the upper, right id in the lower half; `absent` in a free slot.
    var pair: UInt64
    /// Rank in the upper, merged id in the lower half, so that comparing merges compares their ranks.
    var merge: UInt64
  }

  /// The result of a lookup for a pair without a merge: larger than any merge.
  static let absent = UInt64.max
  /// 2⁶⁴ divided by the golden ratio (Knuth's multiplicative hashing).
  static let hashMultiplier: UInt64 = 0x9E37_79B9_7F4A_7C15

  private(set) var slots: [Slot]
  /// How far a hash is shifted right to give a slot.
  let shift: UInt64

  init(capacity: Int) {
    let bits = max(4, (capacity * 2).bitWidth - (capacity * 2).leadingZeroBitCount)
    slots = [Slot](repeating: Slot(pair: Self.absent, merge: Self.absent), count: 1 << bits)
    shift = UInt64(64 - bits)
  }

  static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// Adds a merge; of two for the same pair the later one wins, as in Hugging Face `tokenizers`.
  mutating func insert(left: Int32, right: Int32, rank: Int, id: Int32) {
    let pair = Self.pair(left, right)
    var index = Int((pair &* MergeTable.hashMultiplier) >> shift)
    while slots[index].pair != Self.absent, slots[index].pair != pair {
      index = (index + 1) & (slots.count - 1)
    }
    slots[index] = Slot(pair: pair, merge: UInt64(rank) << 32 | UInt64(UInt32(bitPattern: id)))
  }
}

/// A pointer view of a `MergeTable`, valid for an encoding call.
struct MergeLookup {
  let slots: UnsafePointer<MergeTable.Slot>
  let mask: Int
  let shift: UInt64

  /// The merge of a pair as rank · 2³² + id, or `MergeTable.absent`.
  @inline(__always)
  func merge(_ left: Int32, _ right: Int32) -> UInt64 {
    let pair = MergeTable.pair(left, right)
    var index = Int((pair &* MergeTable.hashMultiplier) >> shift)
    while true {
      let slot = slots[index]
      if slot.pair == pair { return slot.merge }
      if slot.pair == MergeTable.absent { return MergeTable.absent }
      index = (index + 1) & mask
    }
  }
}
