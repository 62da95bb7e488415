/// An encoder of the Protocol Buffers wire types that TensorBoard's messages need. See
/// <https://protobuf.dev/programming-guides/encoding/>.
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

  /// A varint: seven bits a byte, the lowest first; the top bit is set when another byte follows.
  private mutating func appendVariableLength(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}

/// A reader of the fields of a Protocol Buffers message, which need not be valid.
struct ProtocolBufferReader {
  struct Field {
    var number: Int
    /// The value of a varint field.
    var integer: Int?
    /// The value of a string, bytes or message field.
    var bytes: UnsafeRawBufferPointer?
  }

  private var rest: Slice<UnsafeRawBufferPointer>

  /// - Parameter message: must stay valid while the reader and its fields are used.
  init(_ message: UnsafeRawBufferPointer) { rest = message[...] }

  /// The next field; nil at the end, and where the message is damaged.
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
