/// The few wire types of Protocol Buffers that TensorBoard's messages need.
/// See <https://protobuf.dev/programming-guides/encoding/>.
struct ProtocolBuffer {
  private(set) var bytes: [UInt8] = []

  mutating func append(_ value: Double, field: Int) {
    appendKey(field, wireType: 1)
    withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func append(_ value: Float, field: Int) {
    appendKey(field, wireType: 5)
    withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func append(_ value: Int, field: Int) {
    appendKey(field, wireType: 0)
    appendVariableLength(UInt64(bitPattern: Int64(value)))
  }

  mutating func append(_ value: String, field: Int) { append(Array(value.utf8), field: field) }

  mutating func append(_ message: ProtocolBuffer, field: Int) { append(message.bytes, field: field) }

  private mutating func append(_ value: [UInt8], field: Int) {
    appendKey(field, wireType: 2)
    appendVariableLength(UInt64(value.count))
    bytes += value
  }

  private mutating func appendKey(_ field: Int, wireType: Int) { appendVariableLength(UInt64(field << 3 | wireType)) }

  /// Seven bits a byte, the lowest first; the top bit says that another follows.
  private mutating func appendVariableLength(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}
