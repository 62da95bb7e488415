/// A vocabulary: the bytes of every token, and a hash table from bytes to ids.
struct Vocabulary: Sendable {
  /// The bytes of all tokens, one after another.
  private var storage: [UInt8] = []
  /// The range in `storage` of each id's bytes; empty for an id without a token.
  private var ranges: [Range<Int>] = []
  /// Open-addressed table of ids by the hash of their bytes, -1 in a free slot.
  private var slots: [Int32]

  /// - Parameter tokens: the tokens and their ids, which need not be dense; of two tokens with the same bytes,
  ///   `id(of:)` finds the first.
  init(_ tokens: [(bytes: [UInt8], id: Int32)]) {
    let bits = (tokens.count * 2 + 16).bitWidth - (tokens.count * 2 + 16).leadingZeroBitCount
    slots = [Int32](repeating: -1, count: 1 << bits)
    for token in tokens {
      set(token.bytes, id: token.id)
      let slot = token.bytes.withUnsafeBufferPointer(slot(for:))
      if slots[slot] < 0 { slots[slot] = token.id }
    }
  }

  /// One more than the largest id.
  var count: Int { ranges.count }

  /// Sets the bytes that `id` decodes to.
  mutating func set(_ bytes: [UInt8], id: Int32) {
    let missing = Int(id) + 1 - ranges.count
    if missing > 0 { ranges.append(contentsOf: repeatElement(0..<0, count: missing)) }
    ranges[Int(id)] = storage.count..<storage.count + bytes.count
    storage.append(contentsOf: bytes)
  }

  /// The bytes of a token; empty when the id has none.
  subscript(id: Int32) -> ArraySlice<UInt8> {
    ranges.indices.contains(Int(id)) ? storage[ranges[Int(id)]] : []
  }

  /// The token that is exactly `bytes`.
  func id(of bytes: UnsafeBufferPointer<UInt8>) -> Int32? {
    let id = slots[slot(for: bytes)]
    return id < 0 ? nil : id
  }

  /// The slot that holds `bytes`, or the free one where it would go.
  private func slot(for bytes: UnsafeBufferPointer<UInt8>) -> Int {
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: ByteHash.hash(bytes)) & mask
    while slots[slot] >= 0, !storage[ranges[Int(slots[slot])]].elementsEqual(bytes) { slot = (slot + 1) & mask }
    return slot
  }
}

/// A fast hash of short byte strings, the same in every process.
enum ByteHash {
  static func hash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
    guard let base = bytes.baseAddress else { return 0 }
    var hash = UInt64(bytes.count)
    var position = 0
    while position < bytes.count {
      let length = min(WordCache.longestWord, bytes.count - position)
      let key = WordCache.key(base + position, length: length)
      hash = mix(hash ^ key.low, key.high)
      position += length
    }
    return hash
  }

  /// The upper and lower halves of a 128-bit product, folded (as in wyhash).
  @inline(__always)
  private static func mix(_ first: UInt64, _ second: UInt64) -> UInt64 {
    let product = (first ^ 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: second ^ 0xA24B_AED4_963E_E407)
    return product.high ^ product.low
  }
}
