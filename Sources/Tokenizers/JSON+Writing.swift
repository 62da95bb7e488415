extension JSON {
  /// The value as JSON text on one line.
  var text: String {
    switch self {
    case .null: "null"
    case .boolean(let flag): "\(flag)"
    case .integer(let number): "\(number)"
    case .number(let number): "\(number)"
    case .string(let text): Self.quoted(text)
    case .array(let values): "[" + values.map(\.text).joined(separator: ", ") + "]"
    case .object(let members):
      "{" + members.map { "\(Self.quoted($0.key)): \($0.value.text)" }.joined(separator: ", ") + "}"
    }
  }

  /// `text` as a JSON string.
  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case ..<" ":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// A JSON text whose outermost object has `value` under `key`; every other byte stays as it is.
  ///
  /// - Throws: `Malformed` when the text is not an object.
  static func setting(_ key: String, to value: JSON, in text: [UInt8]) throws(Malformed) -> [UInt8] {
    let places = try Places(of: key, in: text)
    let written = Array(value.text.utf8)
    if let range = places.value { return text[..<range.lowerBound] + written + text[range.upperBound...] }
    let member = Array("\(quoted(key)): ".utf8) + written + (places.isEmpty ? [] : Array(", ".utf8))
    return text[..<places.start] + member + text[places.start...]
  }
}
