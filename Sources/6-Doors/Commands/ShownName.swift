import Support

/// Escaping of untrusted names for a terminal.
enum ShownName {
  /// Escapes control and format characters as `\x1b` or `\u{202e}`; bytes that are not valid UTF-8 become U+FFFD.
  static func escaped(_ name: String) -> String {
    var shown = String.UnicodeScalarView()
    for scalar in PathBytes.display(name).unicodeScalars {
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator:
        let digits = String(scalar.value, radix: 16)
        let isByte = scalar.value < 0x100
        let zeros = String(repeating: "0", count: max(0, 2 - digits.count))
        shown.append(contentsOf: (isByte ? "\\x\(zeros)\(digits)" : "\\u{\(digits)}").unicodeScalars)
      default: shown.append(scalar)
      }
    }
    return String(shown)
  }
}
