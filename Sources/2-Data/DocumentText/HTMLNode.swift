import CGumbo
import Glibc

extension UnsafePointer<GumboNode> {
  var isElement: Bool { pointee.type == GUMBO_NODE_ELEMENT || pointee.type == GUMBO_NODE_TEMPLATE }

  var tag: GumboTag { pointee.v.element.tag }

  var isHTML: Bool { pointee.v.element.tag_namespace == GUMBO_NAMESPACE_HTML }

  var isMathML: Bool { pointee.v.element.tag_namespace == GUMBO_NAMESPACE_MATHML }

  /// The children of an element.
  var children: HTMLNodes { HTMLNodes(vector: pointee.v.element.children) }

  /// The text of a node that has some.
  var text: UnsafeBufferPointer<UInt8>? {
    switch pointee.type {
    case GUMBO_NODE_TEXT, GUMBO_NODE_WHITESPACE, GUMBO_NODE_CDATA:
      guard let text = pointee.v.text.text else { return nil }
      return UnsafeBufferPointer(of: text)
    default: return nil
    }
  }

  /// The name of an element that Gumbo has no number for, in lower case.
  var unknownName: String {
    var piece = pointee.v.element.original_tag
    gumbo_tag_from_original_text(&piece)
    guard let start = piece.data, piece.length > 0, piece.length <= 256 else { return "" }
    return start.withMemoryRebound(to: UInt8.self, capacity: piece.length) {
      String(decoding: UnsafeBufferPointer(start: $0, count: piece.length), as: UTF8.self).lowercased()
    }
  }

  /// The value of an attribute; nil when there is none.
  func attribute(_ name: StaticString) -> UnsafeBufferPointer<UInt8>? {
    let attributes = pointee.v.element.attributes
    for index in 0..<Int(attributes.length) {
      guard let attribute = attributes.data[index]?.assumingMemoryBound(to: GumboAttribute.self) else { continue }
      if UnsafeBufferPointer(of: attribute.pointee.name).elementsEqual(
        UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
      {
        return UnsafeBufferPointer(of: attribute.pointee.value)
      }
    }
    return nil
  }

  /// The value of an attribute in lower case; nil when there is none.
  func attributeText(_ name: StaticString) -> String? {
    attribute(name).map { String(decoding: $0, as: UTF8.self).lowercased() }
  }

  /// The value of an attribute that is an integer by HTML's rules: a sign and digits, whatever follows; nil when there
  /// is none or it takes more than 32 bits.
  func integer(_ name: StaticString) -> Int? {
    guard let value = attribute(name)?.drop(while: isWhitespace) else { return nil }
    let isNegative = value.first == UInt8(ascii: "-")
    let digits = (isNegative || value.first == UInt8(ascii: "+") ? value.dropFirst() : value).prefix { isDigit($0) }
    guard !digits.isEmpty else { return nil }
    let significant = digits.drop { $0 == UInt8(ascii: "0") }
    guard significant.count <= 10 else { return nil }
    let number = significant.reduce(0) { 10 * $0 + Int($1 & 0xF) }
    return Int32(exactly: isNegative ? -number : number).map(Int.init)
  }
}

/// An element's children.
struct HTMLNodes: RandomAccessCollection {
  let vector: GumboVector

  var startIndex: Int { 0 }
  var endIndex: Int { Int(vector.length) }

  subscript(index: Int) -> HTMLNode {
    guard let node = vector.data[index] else { preconditionFailure("a child that is no node") }
    return UnsafePointer(node.assumingMemoryBound(to: GumboNode.self))
  }
}

extension UnsafeBufferPointer<UInt8> {
  /// A C string's bytes.
  init(of string: UnsafePointer<CChar>?) {
    guard let string else {
      self.init(start: nil, count: 0)
      return
    }
    var count = 0
    while string[count] != 0 { count += 1 }
    self.init(start: UnsafeRawPointer(string).assumingMemoryBound(to: UInt8.self), count: count)
  }
}

extension UnsafeBufferPointer<UInt8> {
  /// Whether the text contains one of the words, which are in lower case, ignoring the text's case.
  func contains(anyOf words: [StaticString]) -> Bool {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: count + 1) { lower in
      for index in indices {
        let byte = self[index]
        lower[index] = CChar(bitPattern: (0x41...0x5A).contains(byte) ? byte | 0x20 : byte == 0 ? 0x20 : byte)
      }
      lower[count] = 0
      guard let text = lower.baseAddress else { return false }
      return words.contains { strstr(text, UnsafeRawPointer($0.utf8Start).assumingMemoryBound(to: CChar.self)) != nil }
    }
  }

  /// Whether a word, which is in lower case, is one of the text's words between white space, ignoring the text's case.
  func hasWord(_ word: StaticString) -> Bool {
    contains(anyOf: [word])
      && split(whereSeparator: isWhitespace).contains { part in
        String(decoding: part, as: UTF8.self).lowercased() == word.description
      }
  }
}

/// ASCII white space, as HTML defines it, and the vertical tab.
func isWhitespace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
