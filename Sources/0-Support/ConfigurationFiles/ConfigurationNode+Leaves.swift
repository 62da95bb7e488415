extension ConfigurationNode {
  /// Every scalar by its dotted key (`data.train.0.path`), in one spelling: `1e3`, `1000` and `1000.0` are `1000`.
  /// Nulls are left out.
  public var leaves: [String: String] {
    var leaves: [String: String] = [:]
    func add(_ node: ConfigurationNode, _ key: String) {
      func below(_ name: String) -> String { key.isEmpty ? name : "\(key).\(name)" }
      switch node.value {
      case .mapping(let entries): for entry in entries { add(entry.node, below(entry.key)) }
      case .sequence(let items): for (index, item) in items.enumerated() { add(item, below("\(index)")) }
      case .integer(let value): leaves[key] = "\(value)"
      case .number(let value): leaves[key] = Int(exactly: value).map { "\($0)" } ?? "\(value)"
      case .boolean(let value): leaves[key] = "\(value)"
      case .string(let value): leaves[key] = value
      case .null: break
      }
    }
    add(self, "")
    return leaves
  }
}
