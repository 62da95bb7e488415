/// The FNV-1a hash function, 64 bits (Fowler, Noll & Vo 1991): the same on every machine, and not cryptographic.
public struct FNV1a {
  /// The hash of the words added so far.
  @inlinable public var value: UInt64 { state }

  @usableFromInline var state: UInt64

  /// - Parameter seed: changes every hash; 0 is the standard function.
  @inlinable public init(seed: UInt64 = 0) { state = 0xcbf2_9ce4_8422_2325 ^ seed }

  /// Adds a 64-bit word in one step; the standard function adds single bytes.
  @inlinable public mutating func add(_ word: UInt64) { state = (state ^ word) &* 0x100_0000_01b3 }

  /// The standard FNV-1a hash of bytes.
  @inlinable public static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
    var hash = FNV1a()
    for byte in bytes { hash.add(UInt64(byte)) }
    return hash.value
  }
}
