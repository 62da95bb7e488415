import Yams

extension ConfigurationNode {
  /// Serializes the tree as YAML text that parses back to the same values, keys in order.
  ///
  /// Lists of scalars are on one line, everything else is in block style.
  public func yaml() -> String {
    do {
      return try Yams.serialize(node: yamlNode(), width: -1, allowUnicode: true)
    } catch {
      preconditionFailure("a configuration tree can always be written: \(error)")
    }
  }

  private func yamlNode() -> Node {
    switch value {
    case .null: return plain("null")
    case .boolean(let value): return plain("\(value)")
    case .integer(let value): return plain("\(value)")
    case .number(let value): return plain(Self.text(value))
    case .string(let text):
      // Quotes text that would parse as another type; the emitter adds quotes that the syntax requires.
      if case .string = Self.resolve(text) { return Node(text, .implicit, .any) }
      return Node(text, .implicit, .doubleQuoted)
    case .sequence(let items):
      let style: Node.Sequence.Style = items.allSatisfy(\.isScalar) ? .flow : .block
      return Node(items.map { $0.yamlNode() }, .implicit, style)
    case .mapping(let entries):
      let style: Node.Mapping.Style = entries.isEmpty ? .flow : .block
      return Node(entries.map { (Node($0.key, .implicit, .any), $0.node.yamlNode()) }, .implicit, style)
    }
  }

  var isScalar: Bool {
    switch value {
    case .sequence, .mapping: false
    default: true
    }
  }

  private func plain(_ text: String) -> Node { Node(text, .implicit, .plain) }

  /// The shortest text that parses back to the same number, in YAML's spelling.
  private static func text(_ number: Double) -> String {
    if number.isNaN { return ".nan" }
    if number.isInfinite { return number < 0 ? "-.inf" : ".inf" }
    return number.description
  }
}
