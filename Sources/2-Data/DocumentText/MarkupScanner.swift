/// A scanner of HTML by the rules of the standard's tokenizer; positions are byte offsets.
struct MarkupScanner {
  let bytes: UnsafeBufferPointer<UInt8>

  /// The byte ranges of an attribute; the value is without its quotes.
  struct Attribute {
    var name: Range<Int>
    var value: Range<Int>
  }

  func isSpace(_ index: Int) -> Bool {
    switch bytes[index] {
    case 0x09, 0x0A, 0x0C, 0x0D, 0x20: true
    default: false
    }
  }

  func isLetter(_ index: Int) -> Bool { index < bytes.count && (0x41...0x5A).contains(bytes[index] & 0xDF) }

  /// Whether the bytes at `index` match `text`, which is in lower case, ignoring their case.
  func matches(_ text: StaticString, at index: Int) -> Bool {
    guard index + text.utf8CodeUnitCount <= bytes.count else { return false }
    for offset in 0..<text.utf8CodeUnitCount {
      let byte = bytes[index + offset]
      guard ((0x41...0x5A).contains(byte) ? byte | 0x20 : byte) == text.utf8Start[offset] else { return false }
    }
    return true
  }

  /// The position of the next such byte; the end when there is none.
  func next(_ byte: UInt8, from start: Int) -> Int {
    var index = start
    while index < bytes.count, bytes[index] != byte { index += 1 }
    return index
  }

  /// The end of a tag's name.
  func nameEnd(from start: Int) -> Int {
    var index = start
    while index < bytes.count, bytes[index] != 0x2F, bytes[index] != 0x3E, !isSpace(index) { index += 1 }
    return index
  }

  /// The end of a comment whose `<!--` ends at `start`.
  func commentEnd(from start: Int) -> Int {
    if start < bytes.count, bytes[start] == 0x3E { return start + 1 }
    if matches("->", at: start) { return start + 2 }
    var index = start
    while index < bytes.count {
      index = next(0x2D, from: index)
      if matches("-->", at: index) { return index + 3 }
      if matches("--!>", at: index) { return index + 4 }
      index += 1
    }
    return bytes.count
  }

  /// Reads the attribute at or after `index` within a tag and advances `index` past it; nil at the tag's end.
  func attribute(at index: inout Int) -> Attribute? {
    while index < bytes.count, isSpace(index) || bytes[index] == 0x2F { index += 1 }
    guard index < bytes.count, bytes[index] != 0x3E else { return nil }
    let start = index
    while index < bytes.count, bytes[index] != 0x2F, bytes[index] != 0x3E, !isSpace(index),
      bytes[index] != 0x3D || index == start
    { index += 1 }
    let name = start..<index
    while index < bytes.count, isSpace(index) { index += 1 }
    guard index < bytes.count, bytes[index] == 0x3D else { return Attribute(name: name, value: index..<index) }
    index += 1
    while index < bytes.count, isSpace(index) { index += 1 }
    guard index < bytes.count, bytes[index] != 0x3E else { return Attribute(name: name, value: index..<index) }
    let quote = bytes[index]
    guard quote == 0x22 || quote == 0x27 else {
      let start = index
      while index < bytes.count, bytes[index] != 0x3E, !isSpace(index) { index += 1 }
      return Attribute(name: name, value: start..<index)
    }
    let valueStart = index + 1
    let valueEnd = next(quote, from: valueStart)
    index = min(valueEnd + 1, bytes.count)
    return Attribute(name: name, value: valueStart..<valueEnd)
  }

  /// Where the end tag of a raw-text element begins; the end of the page when there is none. `name` is the range of the
  /// start tag's name.
  func endTag(of name: Range<Int>, from start: Int) -> Int {
    var index = start
    while true {
      index = next(0x3C, from: index)
      guard index < bytes.count else { return index }
      if isEndTag(of: name, at: index) { return index }
      index += 1
    }
  }

  /// The same for a script, whose comments may hold scripts (the standard's "script data escaped" states).
  func scriptEndTag(of name: Range<Int>, from start: Int) -> Int {
    var index = start
    var isEscaped = false
    var isDoubleEscaped = false
    while index < bytes.count {
      if isEscaped, matches("-->", at: index) {
        (isEscaped, isDoubleEscaped) = (false, false)
        index += 3
      } else if bytes[index] != 0x3C {
        index += 1
      } else if !isEscaped, matches("<!--", at: index) {
        isEscaped = true
        // Its dashes may be those of the end.
        index += 2
      } else if isEndTag(of: name, at: index) {
        guard isDoubleEscaped else { return index }
        isDoubleEscaped = false
        index += 8
      } else {
        if isEscaped, matches("<script", at: index), index + 7 < bytes.count, isNameEnd(index + 7) {
          isDoubleEscaped = true
        }
        index += 1
      }
    }
    return bytes.count
  }

  private func isEndTag(of name: Range<Int>, at index: Int) -> Bool {
    let end = index + 2 + name.count
    guard end < bytes.count, bytes[index + 1] == 0x2F, isNameEnd(end) else { return false }
    for offset in 0..<name.count where bytes[index + 2 + offset] | 0x20 != bytes[name.lowerBound + offset] | 0x20 {
      return false
    }
    return true
  }

  private func isNameEnd(_ index: Int) -> Bool { isSpace(index) || bytes[index] == 0x2F || bytes[index] == 0x3E }
}
