/// JSON Lines: a JSON object a line, with a document's text in one of its members.
public enum JSONLines {
  /// A line's text, or why there is none.
  public enum Line: Sendable, Equatable {
    case text([UInt8], replacements: Int)
    /// The object has no string in that member.
    case withoutText
    /// Not a JSON object.
    case damaged
  }

  /// Calls `body` with every line that is not blank and its number, from 1.
  ///
  /// - Returns: how many lines there are.
  public static func read(_ bytes: [UInt8], _ body: (Int, UnsafeBufferPointer<UInt8>) -> Void) -> Int {
    bytes.withUnsafeBufferPointer { bytes in
      var number = 0
      var start = 0
      while start < bytes.count {
        var end = start
        while end < bytes.count, bytes[end] != UInt8(ascii: "\n") { end += 1 }
        number += 1
        let line = UnsafeBufferPointer(rebasing: bytes[start..<end])
        if line.contains(where: { !isWhitespace($0) }) { body(number, line) }
        start = end + 1
      }
      return number
    }
  }

  /// Whether the first line, of at most 16 MiB, is an object with a string in that member.
  public static func holdsDocuments(_ bytes: [UInt8], field: String) -> Bool {
    let line = bytes.prefix { $0 != UInt8(ascii: "\n") }
    guard line.first == UInt8(ascii: "{"), line.count <= 1 << 24 else { return false }
    return line.withUnsafeBufferPointer { if case .text = read($0, field: field) { true } else { false } }
  }

  /// Parses a line whose text is in the member `field`.
  public static func read(_ line: UnsafeBufferPointer<UInt8>, field: String) -> Line {
    var scanner = JSONScanner(line)
    var text: [UInt8]?
    do {
      try scanner.readObject { name, scanner in
        guard name == field else { return false }
        // Of duplicate members the last one counts.
        text = nil
        guard scanner.peek() == UInt8(ascii: "\"") else { return false }
        text = try scanner.readString()
        return true
      }
      guard scanner.peek() == nil else { return .damaged }
    } catch {
      return .damaged
    }
    return text.map { .text($0, replacements: scanner.replacements) } ?? .withoutText
  }
}
