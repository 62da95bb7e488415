/// Detection of HTML by its beginning.
enum HTMLSignature {
  /// Whether bytes begin as an HTML page does, after a byte order mark, white space, comments and an XML declaration,
  /// and are not the source of a program that writes one.
  static func matches(_ bytes: [UInt8]) -> Bool {
    bytes.withUnsafeBufferPointer { bytes in
      let scanner = MarkupScanner(bytes: bytes)
      var index = scanner.matches("\u{FEFF}", at: 0) ? 3 : 0
      while index < bytes.count {
        if isWhitespace(bytes[index]) {
          index += 1
        } else if scanner.matches("<!--", at: index) {
          index = scanner.commentEnd(from: index + 4)
        } else if scanner.matches("<?xml", at: index) {
          index = min(scanner.next(0x3E, from: index) + 1, bytes.count)
        } else {
          break
        }
      }
      guard begins(scanner, at: index) else { return false }
      return !isProgram(bytes)
    }
  }

  private static func begins(_ scanner: MarkupScanner, at index: Int) -> Bool {
    if scanner.matches("<!doctype", at: index) {
      var name = index + 9
      while name < scanner.bytes.count, scanner.isSpace(name) { name += 1 }
      return scanner.matches("html", at: name)
    }
    let names: [StaticString] = ["<html", "<head", "<body", "<title"]
    return names.contains { tag in
      let end = index + tag.utf8CodeUnitCount
      return scanner.matches(tag, at: index) && end < scanner.bytes.count
        && (scanner.isSpace(end) || scanner.bytes[end] == 0x3E)
    }
  }

  /// Whether there is PHP, ASP or JSP code in it.
  private static func isProgram(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    var index = 0
    let scanner = MarkupScanner(bytes: bytes)
    while index < bytes.count {
      index = scanner.next(0x3C, from: index)
      if scanner.matches("<?php", at: index) || scanner.matches("<?=", at: index) || scanner.matches("<%", at: index) {
        return true
      }
      index += 1
    }
    return false
  }
}
