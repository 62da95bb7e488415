/// The byte-plane shuffle: plane *p* holds byte *p* of every element, the most significant byte first.
///
/// The signs and exponents of neighbouring weights are similar and their mantissas are noise; in planes of their own
/// the former compress well and the latter are stored raw. (Rotating the sign to the bottom, which gives an fp32
/// exponent a byte of its own, was measured on weights and moments: within 0.6 % either way, so it is not done.)
///
/// Elements are processed in blocks that fit the L1 cache, one plane at a time: a loop of one shift and one narrowing
/// store, which the compiler vectorises.
enum BytePlanes {
  private static let blockLength = 2048

  /// Splits `count` elements of `width` bytes into `width` contiguous planes of `count` bytes each.
  static func split(
    _ source: UnsafeRawPointer, width: Int, count: Int, into planes: UnsafeMutablePointer<UInt8>
  ) {
    switch width {
    case 1: planes.update(from: source.assumingMemoryBound(to: UInt8.self), count: count)
    case 2: split(source.assumingMemoryBound(to: UInt16.self), count, planes)
    case 4: split(source.assumingMemoryBound(to: UInt32.self), count, planes)
    case 8: split(source.assumingMemoryBound(to: UInt64.self), count, planes)
    default: preconditionFailure("elements have 1, 2, 4 or 8 bytes")
    }
  }

  /// Joins planes of `count` bytes, at any addresses, into elements of `planes.count` bytes.
  static func join(_ planes: [UnsafePointer<UInt8>], count: Int, into destination: UnsafeMutableRawPointer) {
    switch planes.count {
    case 1: destination.copyMemory(from: planes[0], byteCount: count)
    case 2: join(planes, count, destination.assumingMemoryBound(to: UInt16.self))
    case 4: join(planes, count, destination.assumingMemoryBound(to: UInt32.self))
    case 8: join(planes, count, destination.assumingMemoryBound(to: UInt64.self))
    default: preconditionFailure("elements have 1, 2, 4 or 8 bytes")
    }
  }

  @inline(__always)
  private static func split<Word: FixedWidthInteger & UnsignedInteger>(
    _ source: UnsafePointer<Word>, _ count: Int, _ planes: UnsafeMutablePointer<UInt8>
  ) {
    let width = Word.bitWidth / 8
    for start in stride(from: 0, to: count, by: blockLength) {
      let length = min(blockLength, count - start)
      let input = source + start
      for plane in 0..<width {
        let shift = Word(8 * (width - 1 - plane))
        let output = planes + (plane * count + start)
        for index in 0..<length { output[index] = UInt8(truncatingIfNeeded: input[index] &>> shift) }
      }
    }
  }

  @inline(__always)
  private static func join<Word: FixedWidthInteger & UnsignedInteger>(
    _ planes: [UnsafePointer<UInt8>], _ count: Int, _ destination: UnsafeMutablePointer<Word>
  ) {
    for start in stride(from: 0, to: count, by: blockLength) {
      let length = min(blockLength, count - start)
      let output = destination + start
      let first = planes[0] + start
      for index in 0..<length { output[index] = Word(first[index]) }
      for plane in planes.dropFirst() {
        let input = plane + start
        for index in 0..<length { output[index] = output[index] &<< 8 | Word(input[index]) }
      }
    }
  }
}
