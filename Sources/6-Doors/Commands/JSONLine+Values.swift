import Checkpoints
import Foundation
import Support

extension JSONLine {
  static func strings(_ values: [String]) -> JSONLine { .list(values.map { .string($0) }) }

  static func integers(_ values: some Sequence<some BinaryInteger>) -> JSONLine {
    .list(values.map { .integer(Int($0)) })
  }

  /// A date as an ISO 8601 string.
  static func date(_ date: Date) -> JSONLine { .string(date.formatted(.iso8601)) }

  /// A path as a string: bytes that are not valid UTF-8 become U+FFFD.
  static func path(_ path: String) -> JSONLine { .string(PathBytes.display(path)) }

  /// Any JSON value, with the members of objects sorted by name.
  static func value(_ value: JSONValue) -> JSONLine {
    switch value {
    case .null: .null
    case .boolean(let value): .boolean(value)
    case .integer(let value): .integer(value)
    case .number(let value): .number(value)
    case .string(let value): .string(value)
    case .array(let values): .list(values.map(Self.value))
    case .object(let members): .object(members.sorted { $0.key < $1.key }.map { ($0.key, Self.value($0.value)) })
    }
  }

  static func tensor(_ tensor: TensorDescription) -> JSONLine {
    .object([
      ("name", .string(tensor.name)), ("type", .string(tensor.dtype.rawValue)), ("shape", .integers(tensor.shape)),
    ])
  }
}
