extension Compute {
  private static let fingerprintBlock = 1 << 16

  /// A 64-bit fingerprint of some numbers' bits: any single changed bit changes it, and what changes more escapes with
  /// a probability of 2⁻⁶⁴. The same for any number of threads; reads memory at its full speed. Not for security.
  public func fingerprint(_ values: Buffer<Float>) -> UInt64 {
    let blocks = (values.count + Self.fingerprintBlock - 1) / Self.fingerprintBlock
    var sums = [UInt64](repeating: 0, count: team.count)
    sums.withUnsafeMutableBufferPointer { sums in
      // Every thread adds to its own sum, which the compiler cannot see.
      nonisolated(unsafe) let sums = sums
      team.forEach(blocks) { block, thread in
        let start = block * Self.fingerprintBlock
        let range = start..<min(values.count, start + Self.fingerprintBlock)
        sums[thread] &+= Self.mixed(Self.checksum(values[range]), with: UInt64(block))
      }
    }
    return sums.reduce(UInt64(values.count), &+)
  }

  /// Fletcher's two sums (1982), in sixteen lanes.
  private static func checksum(_ values: Buffer<Float>) -> UInt64 {
    var (sum, sumOfSums) = (SIMD16<UInt32>(), SIMD16<UInt32>())
    let memory = UnsafeRawPointer(values.base)
    let whole = values.count / 16 * 16
    for offset in stride(from: 0, to: whole, by: 16) {
      sum &+= memory.loadUnaligned(fromByteOffset: 4 * offset, as: SIMD16<UInt32>.self)
      sumOfSums &+= sum
    }
    for index in whole..<values.count { sum[index - whole] &+= values.base[index].bitPattern }
    sumOfSums &+= sum
    var hash: UInt64 = 0
    for lane in 0..<16 {
      hash = mixed(hash ^ (UInt64(sumOfSums[lane]) << 32 | UInt64(sum[lane])), with: UInt64(lane))
    }
    return hash
  }

  /// One step of SplitMix64 (Steele, Lea, Flood 2014): a bijection of `value` for any `key`.
  private static func mixed(_ value: UInt64, with key: UInt64) -> UInt64 {
    var mixed = value &+ (key &+ 1) &* 0x9e37_79b9_7f4a_7c15
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}
