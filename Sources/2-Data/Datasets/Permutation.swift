import Support

/// A pseudo-random permutation of `0..<count` that is computed for one index at a time, with nothing stored.
///
/// A Feistel network permutes the smallest power of four that is at least `count`; an index that lands outside
/// `0..<count` is permuted again until it lands inside ("cycle walking", Black & Rogaway 2002), fewer than four times
/// on average. A pure function of `key`, on every machine.
public struct Permutation: Sendable {
  private let count: UInt64
  private let key: UInt64
  /// Bits in each half of the network.
  private let halfBits: UInt64

  private static let rounds: UInt64 = 6

  public init(count: Int, key: UInt64) {
    precondition(count > 0)
    self.count = UInt64(count)
    self.key = key
    let bits = UInt64.bitWidth - (self.count - 1).leadingZeroBitCount
    halfBits = UInt64(max(1, (bits + 1) / 2))
  }

  public func callAsFunction(_ index: Int) -> Int {
    precondition(index >= 0 && UInt64(index) < count)
    var value = UInt64(index)
    repeat { value = permuteOnce(value) } while value >= count
    return Int(value)
  }

  private func permuteOnce(_ value: UInt64) -> UInt64 {
    let mask = (1 << halfBits) - 1 as UInt64
    var (left, right) = (value >> halfBits, value & mask)
    for round in 0..<Self.rounds {
      (left, right) = (right, left ^ (combine(key &+ round, right) & mask))
    }
    return left << halfBits | right
  }
}

/// Mixes two keys into one, in which their order matters.
public func combine(_ first: UInt64, _ second: UInt64) -> UInt64 {
  SplitMix64.output(SplitMix64.output(first) ^ second)
}
