/// A direct-mapped cache of the ids of short words, of fixed size and without allocation.
struct WordCache: Sendable {
  /// A word of at most 16 bytes and its at most 3 ids; 32 bytes.
  struct Entry {
    var low: UInt64 = 0
    var high: UInt64 = 0
    var ids: (Int32, Int32, Int32) = (0, 0, 0)
    var length: UInt16 = 0
    var count: UInt16 = 0
  }

  static let longestWord = 16
  static let maxIDs = 3
  private static let bits: UInt64 = 15

  var entries = [Entry](repeating: Entry(), count: 1 << Int(bits))

  /// The bytes of a word of 1 to 16 bytes as two integers that, with the length, identify it.
  @inline(__always)
  static func key(_ word: UnsafeRawPointer, length: Int) -> (low: UInt64, high: UInt64) {
    if length >= 8 {
      return (
        word.loadUnaligned(as: UInt64.self), word.loadUnaligned(fromByteOffset: length - 8, as: UInt64.self)
      )
    }
    if length >= 4 {
      let low = word.loadUnaligned(as: UInt32.self)
      let high = word.loadUnaligned(fromByteOffset: length - 4, as: UInt32.self)
      return (UInt64(low) | UInt64(high) << 32, 0)
    }
    let first = UInt64(word.load(as: UInt8.self))
    let middle = UInt64(word.load(fromByteOffset: length / 2, as: UInt8.self))
    let last = UInt64(word.load(fromByteOffset: length - 1, as: UInt8.self))
    return (first | middle << 8 | last << 16, 0)
  }

  /// The index of a word in `entries`.
  @inline(__always)
  static func slot(low: UInt64, high: UInt64, length: Int) -> Int {
    let mixed = (low ^ (high &* 0xA24B_AED4_963E_E407) ^ UInt64(length)) &* MergeTable.hashMultiplier
    return Int(((mixed ^ (mixed >> 29)) &* MergeTable.hashMultiplier) >> (64 - bits))
  }
}
