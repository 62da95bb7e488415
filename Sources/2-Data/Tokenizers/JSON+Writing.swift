import Support

extension JSON {
  /// The value as JSON text on one line.
  var text: String {
    switch self {
    case .null: "null"
    case .boolean(let flag): "\(flag)"
    case .integer(let number): "\(number)"
    case .number(let number): "\(number)"
    case .string(let text): JSONString.quoted(text)
    case .array(let values): "[" + values.map(\.text).joined(separator: ", ") + "]"
    case .object(let members):
      "{" + members.map { "\(JSONString.quoted($0.key)): \($0.value.text)" }.joined(separator: ", ") + "}"
    }
  }

  /// Sets `key` to `value` in the outermost object of a JSON text; every other byte stays as it is.
  ///
  /// - Throws: `Malformed` when the text is not an object.
  static func setting(_ key: String, to value: JSON, in text: [UInt8]) throws(Malformed) -> [UInt8] {
    let places = try Places(of: key, in: text)
    let written = Array(value.text.utf8)
    if let range = places.value { return text[..<range.lowerBound] + written + text[range.upperBound...] }
    let member = Array("\(JSONString.quoted(key)): ".utf8) + written + (places.isEmpty ? [] : Array(", ".utf8))
    return text[..<places.start] + member + text[places.start...]
  }
}
