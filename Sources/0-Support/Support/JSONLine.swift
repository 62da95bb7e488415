/// A JSON value for JSON Lines files and the commands' `--json`, with members in the given order.
///
/// Numbers have the shortest digits that parse back to the same value, so two lines are equal when their numbers are,
/// bit for bit. NaN and infinity, which JSON does not have, become `null`.
public indirect enum JSONLine: Sendable {
  case null
  case integer(Int)
  case number(Double)
  /// A number with the shortest digits of a `Float`.
  case single(Float)
  case boolean(Bool)
  case string(String)
  case list([JSONLine])
  case object([(String, JSONLine)])

  /// A value, or null for nil.
  public static func optional(_ value: Int?) -> JSONLine { value.map { .integer($0) } ?? .null }

  /// A value, or null for nil.
  public static func optional(_ value: Double?) -> JSONLine { value.map { .number($0) } ?? .null }

  /// A value, or null for nil.
  public static func optional(_ value: String?) -> JSONLine { value.map { .string($0) } ?? .null }

  /// The JSON text on one line, without a line feed.
  public var text: String {
    switch self {
    case .null: "null"
    case .integer(let value): "\(value)"
    case .number(let value): value.isFinite ? "\(value)" : "null"
    case .single(let value): value.isFinite ? "\(value)" : "null"
    case .boolean(let value): "\(value)"
    case .string(let value): JSONString.quoted(value)
    case .list(let values): "[\(values.map(\.text).joined(separator: ", "))]"
    case .object(let members): "{\(Self.members(members))}"
    }
  }

  /// The text of an object's members without braces: `"step": 1, "loss": 2.5`.
  public static func members(_ members: [(String, JSONLine)]) -> String {
    members.map { "\(JSONString.quoted($0.0)): \($0.1.text)" }.joined(separator: ", ")
  }
}
