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

/// Walks through the fields of a message that somebody else may have written.
struct ProtocolBufferReader {
  struct Field {
    var number: Int
    /// Of a field of variable length.
    var integer: Int?
    /// Of text, bytes or a message.
    var bytes: UnsafeRawBufferPointer?
  }

  private var rest: Slice<UnsafeRawBufferPointer>

  /// - Parameter message: valid for as long as the reader and what it gives are used.
  init(_ message: UnsafeRawBufferPointer) { rest = message[...] }

  /// nil at the end, and where the message is damaged.
  mutating func next() -> Field? {
    guard let key = variableLength() else { return nil }
    var field = Field(number: Int(truncatingIfNeeded: key >> 3))
    switch key & 7 {
    case 0:
      guard let value = variableLength() else { return nil }
      field.integer = Int(truncatingIfNeeded: value)
    case 1: guard take(8) != nil else { return nil }
    case 2:
      guard let count = variableLength(), count <= rest.count, let bytes = take(Int(count)) else { return nil }
      field.bytes = UnsafeRawBufferPointer(rebasing: bytes)
    case 5: guard take(4) != nil else { return nil }
    default: return nil
    }
    return field
  }

  private mutating func take(_ count: Int) -> Slice<UnsafeRawBufferPointer>? {
    guard count <= rest.count else { return nil }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }

  private mutating func variableLength() -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: 0, to: 64, by: 7) {
      guard let byte = rest.popFirst() else { return nil }
      value |= UInt64(byte & 0x7F) << UInt64(shift)
      if byte < 0x80 { return value }
    }
    return nil
  }
}
