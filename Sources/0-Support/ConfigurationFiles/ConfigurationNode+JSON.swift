import Support

extension ConfigurationNode {
  /// Serializes the tree as JSON text, keys in order, indented by two spaces, with a final line break.
  ///
  /// Lists of scalars are on one line. Numbers that are not finite, which JSON does not have, become null.
  public func json() -> String { json(indent: "") + "\n" }

  private func json(indent: String) -> String {
    switch value {
    case .null: return "null"
    case .boolean(let value): return "\(value)"
    case .integer(let value): return "\(value)"
    case .number(let value): return value.isFinite ? "\(value)" : "null"
    case .string(let text): return JSONString.quoted(text)
    case .sequence(let items):
      let inner = indent + "  "
      if items.allSatisfy(\.isScalar) { return "[\(items.map { $0.json(indent: inner) }.joined(separator: ", "))]" }
      return Self.block("[", items.map { inner + $0.json(indent: inner) }, "]", indent)
    case .mapping(let entries):
      let inner = indent + "  "
      if entries.isEmpty { return "{}" }
      return Self.block(
        "{", entries.map { "\(inner)\(JSONString.quoted($0.key)): \($0.node.json(indent: inner))" }, "}", indent)
    }
  }

  private static func block(_ begin: String, _ lines: [String], _ end: String, _ indent: String) -> String {
    "\(begin)\n\(lines.joined(separator: ",\n"))\n\(indent)\(end)"
  }
}
