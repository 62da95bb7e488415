/// Turns bytes that arrive in pieces into text, without cutting a character in two: the bytes of an unfinished one wait
/// for the rest.
///
/// All units together are the text that the bytes would give as a whole; bytes that are not UTF-8 become U+FFFD.
public struct UTF8Stream: Sendable {
  private var waiting: [UInt8] = []

  public init() {}

  /// Takes bytes and returns the text that is complete.
  public mutating func append(_ bytes: some Sequence<UInt8>) -> String {
    waiting += bytes
    let complete = waiting.count - Self.unfinishedCount(waiting)
    defer { waiting.removeFirst(complete) }
    return String(decoding: waiting[..<complete], as: UTF8.self)
  }

  /// Whatever is left at the end.
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
