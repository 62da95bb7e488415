import Foundation

/// A counter-based random number generator: a pure function of (seed, stream, index). Philox 4×32-10 (Salmon et al.
/// 2011).
///
/// There is no state to carry across ranks or resumes; numbers can be read in any order.
public struct CounterBasedRandom: Sendable {
  private let key: (UInt32, UInt32)
  private let stream: UInt64

  public init(seed: UInt64, stream: UInt64) {
    key = (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
    self.stream = stream
  }

  /// 128 random bits.
  public func bits(_ index: UInt64) -> (UInt32, UInt32, UInt32, UInt32) {
    var c = (
      UInt32(truncatingIfNeeded: index), UInt32(truncatingIfNeeded: index >> 32),
      UInt32(truncatingIfNeeded: stream), UInt32(truncatingIfNeeded: stream >> 32)
    )
    var k = key
    for _ in 0..<10 {
      let a = UInt64(c.0) * 0xD251_1F53
      let b = UInt64(c.2) * 0xCD9E_8D57
      c = (
        UInt32(b >> 32) ^ c.1 ^ k.0, UInt32(truncatingIfNeeded: b), UInt32(a >> 32) ^ c.3 ^ k.1,
        UInt32(truncatingIfNeeded: a)
      )
      k = (k.0 &+ 0x9E37_79B9, k.1 &+ 0xBB67_AE85)
    }
    return c
  }

  /// Uniform in (0, 1).
  public func uniform(_ index: UInt64) -> Double { (Double(bits(index).0) + 0.5) * 0x1p-32 }

  /// Two independent standard normal numbers (Box & Muller 1958).
  public func normals(_ index: UInt64) -> (Double, Double) {
    let b = bits(index)
    let radius = (-2 * log((Double(b.0) + 0.5) * 0x1p-32)).squareRoot()
    let angle = 2 * Double.pi * (Double(b.1) + 0.5) * 0x1p-32
    return (radius * cos(angle), radius * sin(angle))
  }
}
