/// The CRC-32C checksum (Castagnoli polynomial), as the TFRecord framing of TensorBoard's files uses it.
enum CRC32C {
  /// The remainder of each byte followed by 32 zero bits; the reflected polynomial is 0x82F63B78.
  private static let table: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { remainder, _ in remainder >> 1 ^ (remainder & 1) &* 0x82F6_3B78 }
  }

  static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
    ~bytes.reduce(~0) { $0 >> 8 ^ table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] }
  }

  /// The checksum rotated and offset, so that checksums of data that holds checksums stay meaningful.
  static func maskedChecksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
    let checksum = checksum(bytes)
    return (checksum >> 15 | checksum << 17) &+ 0xA282_EAD8
  }
}
