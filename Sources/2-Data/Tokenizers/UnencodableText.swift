import Support

/// The error for a text that cannot be encoded, because of a byte or a token in it.
struct UnencodableText: Error {
  /// The line of the byte or token, from 1.
  var line: Int
  var reason: String
  /// What to do about it.
  var hint: String

  static func missingByte(_ byte: UInt8, line: Int) -> UnencodableText {
    let digits = String(byte, radix: 16, uppercase: true)
    return UnencodableText(
      line: line,
      reason: "has the byte 0x\(digits.count < 2 ? "0" : "")\(digits), and the tokenizer's vocabulary lacks its symbol "
        + "'\(ByteAlphabet.text(for: [byte]))'",
      hint: "leave it out, or use a tokenizer that has it")
  }

  static func controlToken(_ bytes: some Sequence<UInt8>, line: Int) -> UnencodableText {
    UnencodableText(
      line: line,
      reason: "has \(shown(String(decoding: Array(bytes), as: UTF8.self))), which the tokenizer can write only as a "
        + "special token, or as the one that begins or ends a document",
      hint: "leave it out, or use another tokenizer")
  }

  /// The `badInput` error for the text called `name`.
  func refusal(of name: String) -> ForgeError { refusal(at: "line \(line) of \(name)") }

  func refusal(at place: String) -> ForgeError {
    .badInput("\(place) \(reason)", hint: hint, after: ": ", code: .unreadableText)
  }
}
