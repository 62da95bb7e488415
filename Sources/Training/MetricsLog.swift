import Diagnostics
import Foundation

/// `metrics.jsonl`: one JSON object a line, appended as the run goes.
///
/// Numbers have the fewest digits that read back to the same value, so two runs are equal bit for bit when their lines
/// are. JSON has no NaN or infinity: they become `null`.
final class MetricsLog {
  indirect enum Value {
    case integer(Int)
    case number(Double)
    /// Printed with the digits that a `Float` needs.
    case single(Float)
    case boolean(Bool)
    case string(String)
    case list([Value])
  }

  let file: AppendedFile

  /// Opens the log for appending after step `step`, and drops what it holds beyond that step (or cut short by a crash):
  /// the resumed run writes those lines again.
  ///
  /// - Throws: `ForgeError.tryAgain` when the file cannot be read or written.
  init(path: String, resumingAfter step: Int) throws {
    try Self.truncate(path, after: step)
    file = try AppendedFile(path: path)
  }

  /// Appends one line with the values in the given order.
  ///
  /// - Throws: `ForgeError.tryAgain`, for example on a full disk.
  func append(_ values: [(String, Value)]) throws {
    let members = values.map { "\(Self.quoted($0.0)): \(Self.text($0.1))" }
    try file.append("{\(members.joined(separator: ", "))}\n")
  }

  // MARK: Resuming

  private struct Line: Decodable { var step: Int }

  /// Rewrites the file without the lines beyond `step`, through a second file, so that a crash loses nothing.
  private static func truncate(_ path: String, after step: Int) throws {
    guard FileManager.default.fileExists(atPath: path) else { return }
    guard let contents = FileManager.default.contents(atPath: path) else { throw systemError("read", path) }
    let kept = contents.split(separator: UInt8(ascii: "\n")).filter { line in
      guard let line = try? JSONDecoder().decode(Line.self, from: Data(line)) else { return false }
      return line.step <= step
    }
    let rewritten = kept.flatMap { $0 + [UInt8(ascii: "\n")] }
    guard !rewritten.elementsEqual(contents) else { return }
    let replacement = path + ".partial"
    unlink(replacement)
    let file = try AppendedFile(path: replacement)
    try file.append(String(decoding: rewritten, as: UTF8.self))
    try file.synchronize()
    guard rename(replacement, path) == 0 else { throw systemError("replace", path) }
  }

  // MARK: Text

  static func text(_ value: Value) -> String {
    switch value {
    case .integer(let value): "\(value)"
    case .number(let value): value.isFinite ? "\(value)" : "null"
    case .single(let value): value.isFinite ? "\(value)" : "null"
    case .boolean(let value): "\(value)"
    case .string(let value): quoted(value)
    case .list(let values): "[\(values.map(text).joined(separator: ", "))]"
    }
  }

  private static func quoted(_ text: String) -> String {
    let escaped = text.unicodeScalars.map { scalar in
      switch scalar {
      case "\"": "\\\""
      case "\\": "\\\\"
      case "\n": "\\n"
      case _ where scalar.value < 0x20: String(format: "\\u%04x", scalar.value)
      default: String(scalar)
      }
    }
    return "\"\(escaped.joined())\""
  }
}
