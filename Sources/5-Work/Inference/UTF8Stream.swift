/// An incremental UTF-8 decoder: bytes of an incomplete character are held back until the rest arrives.
///
/// The returned texts together are what the bytes would decode to as a whole; bytes that are not UTF-8 become U+FFFD.
public struct UTF8Stream: Sendable {
  private var waiting: [UInt8] = []

  public init() {}

  /// Appends bytes and returns the text that is complete.
  public mutating func append(_ bytes: some Sequence<UInt8>) -> String {
    waiting += bytes
    let complete = waiting.count - Self.unfinishedCount(waiting)
    defer { waiting.removeFirst(complete) }
    return String(decoding: waiting[..<complete], as: UTF8.self)
  }

  /// Returns the bytes held back at the end, decoded.
  public mutating func finish() -> String {
    defer { waiting = [] }
    return String(decoding: waiting, as: UTF8.self)
  }

  /// The bytes at the end that could be the beginning of a character.
  private static func unfinishedCount(_ bytes: [UInt8]) -> Int {
    for (index, byte) in bytes.suffix(3).reversed().enumerated() where byte & 0xC0 != 0x80 {
      let length = byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
      return length > index + 1 ? index + 1 : 0
    }
    return 0
  }
}
