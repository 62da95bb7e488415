import Glibc

/// The attributes of a tag that affect a page's text.
struct TagAttributes {
  private var seen: Set<TagName> = []
  /// Whether the last value had no quotes, so that a slash at its end belongs to it.
  private(set) var endsUnquoted = false

  private static let kept = Set(
    [
      "hidden", "style", "class", "role", "open", "start", "reversed", "value", "type", "alt", "shadowrootmode", "slot",
      "name", "popover", "encoding", "color", "face", "size", "controls", "close", "separators",
    ].map { TagName($0) })
  private static let (style, classes) = (TagName("style"), TagName("class"))
  /// A style or class without any of these does not affect the text. A character reference or an escape may spell any
  /// of the words.
  private static let styleWords: [StaticString] = [
    "display", "visibility", "white-space", "list-style", "vertical-align", "&", "\\",
  ]
  private static let classWords: [StaticString] = ["headerlink", "math", "tex", "formula", "&"]

  /// Writes an attribute in quotes if it affects the text and is the tag's first of its name.
  mutating func append(_ attribute: MarkupScanner.Attribute, of scanner: MarkupScanner, to output: inout [UInt8]) {
    let bytes = scanner.bytes
    let value = attribute.value
    let last = value.upperBound < bytes.count ? bytes[value.upperBound] : 0
    endsUnquoted = !value.isEmpty && last != 0x22 && last != 0x27
    guard attribute.name.count <= 14 else { return }
    let name = TagName(UnsafeBufferPointer(rebasing: bytes[attribute.name]))
    guard Self.kept.contains(name), seen.insert(name).inserted else { return }
    let text = UnsafeBufferPointer(rebasing: bytes[value])
    if name == Self.style, !text.contains(anyOf: Self.styleWords) { return }
    if name == Self.classes, !text.contains(anyOf: Self.classWords) { return }
    output.append(0x20)
    output.append(contentsOf: bytes[attribute.name])
    output += [0x3D, 0x22]
    var rest = text[...]
    while let quote = rest.firstIndex(of: 0x22) {
      output.appendReferences(of: UnsafeBufferPointer(rebasing: rest[..<quote]))
      output += Array("&quot;".utf8)
      rest = rest[(quote + 1)...]
    }
    output.appendReferences(of: UnsafeBufferPointer(rebasing: rest))
    output.append(0x22)
  }
}

extension [UInt8] {
  /// Appends text of a page, with numeric character references beyond U+10FFFF, which would overflow in Gumbo, replaced
  /// by U+FFFD.
  mutating func appendReferences(of text: UnsafeBufferPointer<UInt8>) {
    guard let base = text.baseAddress else { return }
    var index = 0
    while let found = memchr(base + index, 0x26, text.count - index) {
      let start = base.distance(to: found.assumingMemoryBound(to: UInt8.self))
      append(contentsOf: text[index..<start])
      index = Self.endOfWideReference(text, at: start)
      if index > start {
        append(contentsOf: [0xEF, 0xBF, 0xBD])
      } else {
        append(0x26)
        index = start + 1
      }
    }
    append(contentsOf: text[index...])
  }

  /// The end of a numeric reference beyond U+10FFFF; `start` when it is another reference or none.
  private static func endOfWideReference(_ text: UnsafeBufferPointer<UInt8>, at start: Int) -> Int {
    var index = start + 1
    guard index < text.count, text[index] == UInt8(ascii: "#") else { return start }
    index += 1
    let isHexadecimal = index < text.count && text[index] | 0x20 == UInt8(ascii: "x")
    if isHexadecimal { index += 1 }
    var value: UInt32 = 0
    while index < text.count {
      let byte = text[index]
      let isLetter = isHexadecimal && (0x61...0x66).contains(byte | 0x20)
      guard isDigit(byte) || isLetter else { break }
      let digit = isLetter ? UInt32(byte | 0x20) - 0x57 : UInt32(byte & 0xF)
      value = Swift.min(value * (isHexadecimal ? 16 : 10) + digit, 0x11_0000)
      index += 1
    }
    guard value > 0x10_FFFF else { return start }
    return index < text.count && text[index] == UInt8(ascii: ";") ? index + 1 : index
  }
}
