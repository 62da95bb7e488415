import Support

extension Backend {
  private static let fingerprintBlock = 1 << 16

  /// A 64-bit checksum of some numbers' bits, to detect silent data corruption: any single flipped bit changes it, and
  /// larger changes go undetected with a probability of 2⁻⁶⁴. The same for any number of threads; runs at memory
  /// bandwidth. Not for security.
  public func fingerprint(_ values: Buffer<Float>) -> UInt64 {
    let blocks = (values.count + Self.fingerprintBlock - 1) / Self.fingerprintBlock
    var sums = [UInt64](repeating: 0, count: team.count)
    sums.withUnsafeMutableBufferPointer { sums in
      // Every thread adds to its own sum only, which the compiler cannot verify.
      nonisolated(unsafe) let sums = sums
      team.forEach(blocks) { block, thread in
        let start = block * Self.fingerprintBlock
        let range = start..<min(values.count, start + Self.fingerprintBlock)
        sums[thread] &+= SplitMix64.output(Self.checksum(values[range]), after: UInt64(block))
      }
    }
    return sums.reduce(UInt64(values.count), &+)
  }

  /// Fletcher's checksum (1982), in sixteen lanes.
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
      hash = SplitMix64.output(hash ^ (UInt64(sumOfSums[lane]) << 32 | UInt64(sum[lane])), after: UInt64(lane))
    }
    return hash
  }
}
