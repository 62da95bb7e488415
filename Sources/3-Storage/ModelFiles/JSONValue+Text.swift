import Checkpoints
import ConfigurationFiles
import Foundation
import Support

extension JSONValue {
  /// Converts a configuration node; integers and numbers stay distinct.
  init(_ node: ConfigurationNode) { self.init(node.value) }

  /// Converts a value without a location.
  init(_ value: ConfigurationNode.Value) {
    self =
      switch value {
      case .null: .null
      case .boolean(let value): .boolean(value)
      case .integer(let value): .integer(value)
      case .number(let value): .number(value)
      case .string(let value): .string(value)
      case .sequence(let items): .array(items.map { JSONValue($0) })
      case .mapping(let entries):
        .object(Dictionary(entries.map { ($0.key, JSONValue($0.node)) }, uniquingKeysWith: { _, last in last }))
      }
  }

  /// Serializes the value as text with sorted keys. Unlike Foundation's encoders it writes the number zero as `0.0`:
  /// transformers rejects an integer where it expects a float.
  func indented(by depth: Int = 0) -> String {
    let inner = String(repeating: "  ", count: depth + 1)
    let outer = String(repeating: "  ", count: depth)
    switch self {
    case .null: return "null"
    case .boolean(let value): return "\(value)"
    case .integer(let value): return "\(value)"
    case .number(let value):
      // As in Python; JSON has no such numbers.
      return value.isFinite ? "\(value)" : value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity"
    case .string(let value): return JSONString.quoted(value)
    case .array(let values): return "[" + values.map { $0.indented(by: depth + 1) }.joined(separator: ", ") + "]"
    case .object(let members):
      let lines = members.sorted { $0.key < $1.key }
        .map { "\(inner)\(JSONString.quoted($0.key)): \($0.value.indented(by: depth + 1))" }
      return lines.isEmpty ? "{}" : "{\n" + lines.joined(separator: ",\n") + "\n\(outer)}"
    }
  }
}
