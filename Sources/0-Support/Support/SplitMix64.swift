/// The output function of the SplitMix64 generator (Steele, Lea & Flood 2014).
public enum SplitMix64 {
  /// A bijective mixing function of 64-bit words: flipping one input bit flips half of the output's bits, on average.
  ///
  /// - Parameter state: the generator's state, to which the function first adds the increment, 2⁶⁴ over the golden
  ///   ratio.
  @inlinable public static func output(_ state: UInt64) -> UInt64 {
    var bits = state &+ 0x9e37_79b9_7f4a_7c15
    bits = (bits ^ (bits >> 30)) &* 0xbf58_476d_1ce4_e5b9
    bits = (bits ^ (bits >> 27)) &* 0x94d0_49bb_1331_11eb
    return bits ^ (bits >> 31)
  }

  /// Output number `count`, from 0, of a generator with the initial state `state`.
  @inlinable public static func output(_ state: UInt64, after count: UInt64) -> UInt64 {
    output(state &+ count &* 0x9e37_79b9_7f4a_7c15)
  }
}
