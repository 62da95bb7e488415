import ConfigurationFiles

/// The part of JSON Schema (draft 2020-12) that the schema of configurations uses: an independent reading of it.
///
/// A keyword that it does not support is reported as a mistake in the schema.
struct SchemaValidator {
  /// Validates a value: nil when the schema allows it, else the violation.
  static func violation(to node: ConfigurationNode, _ schema: ConfigurationNode, at path: String = "") -> String? {
    guard case .mapping(let keywords) = schema.value else { return "\(path): the schema is no mapping" }
    for keyword in keywords {
      if let violation = violation(to: node, keyword, of: schema, at: path) { return violation }
    }
    return nil
  }

  private static func violation(
    to node: ConfigurationNode, _ keyword: ConfigurationNode.Entry, of schema: ConfigurationNode, at path: String
  ) -> String? {
    let argument = keyword.node
    func fails(_ fails: Bool) -> String? { fails ? "\(path): \(node.value) against \(keyword.key)" : nil }
    func bound(_ number: Double?, _ holds: (Double, Double) -> Bool) -> String? {
      guard let number, let bound = Self.number(argument) else { return nil }
      return fails(!holds(number, bound))
    }
    let number = number(node)
    let count = items(node).map { Double($0.count) }
    switch keyword.key {
    case "$schema", "title", "description", "default": return nil
    case "type": return fails(!(items(argument) ?? [argument]).contains { hasType(node, $0) })
    case "enum": return fails(!(items(argument) ?? []).contains(node))
    case "const": return fails(node != argument && (number == nil || number != Self.number(argument)))
    case "minimum": return bound(number, >=)
    case "maximum": return bound(number, <=)
    case "exclusiveMinimum": return bound(number, >)
    case "exclusiveMaximum": return bound(number, <)
    case "minItems": return bound(count, >=)
    case "maxItems": return bound(count, <=)
    case "items":
      return (items(node) ?? []).enumerated().lazy.compactMap { violation(to: $1, argument, at: "\(path).\($0)") }.first
    case "required": return isMapping(node) ? fails(!(items(argument) ?? []).allSatisfy { node[text($0)] != nil }) : nil
    case "properties":
      return entries(node).lazy.compactMap { entry in
        argument[entry.key].flatMap { violation(to: entry.node, $0, at: "\(path).\(entry.key)") }
      }.first
    case "additionalProperties": return fails(!entries(node).allSatisfy { schema["properties"]?[$0.key] != nil })
    case "propertyNames":
      return entries(node).lazy.compactMap { entry in
        violation(to: ConfigurationNode(.string(entry.key), at: entry.location), argument, at: path)
      }.first
    case "anyOf": return fails(!(items(argument) ?? []).contains { violation(to: node, $0) == nil })
    case "if":
      let branch = violation(to: node, argument) == nil ? "then" : "else"
      return schema[branch].flatMap { violation(to: node, $0, at: path) }
    case "then", "else": return nil
    default: return "\(path): the keyword \(keyword.key) is not known"
    }
  }

  private static func hasType(_ node: ConfigurationNode, _ type: ConfigurationNode) -> Bool {
    switch (text(type), node.value) {
    case ("null", .null), ("boolean", .boolean), ("string", .string), ("array", .sequence), ("object", .mapping): true
    case ("integer", .integer), ("number", .integer), ("number", .number): true
    case ("integer", .number(let number)): number == number.rounded() && number.isFinite
    default: false
    }
  }

  private static func number(_ node: ConfigurationNode) -> Double? {
    switch node.value {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  private static func items(_ node: ConfigurationNode) -> [ConfigurationNode]? {
    if case .sequence(let items) = node.value { items } else { nil }
  }

  private static func entries(_ node: ConfigurationNode) -> [ConfigurationNode.Entry] {
    if case .mapping(let entries) = node.value { entries } else { [] }
  }

  private static func isMapping(_ node: ConfigurationNode) -> Bool {
    if case .mapping = node.value { true } else { false }
  }

  private static func text(_ node: ConfigurationNode) -> String {
    if case .string(let text) = node.value { text } else { "" }
  }
}
