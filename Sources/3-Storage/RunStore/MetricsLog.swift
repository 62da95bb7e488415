import ConfigurationFiles
import Foundation
import Support

/// The metrics log, `metrics.jsonl`: one JSON object a line, appended during the run.
public final class MetricsLog {
  public let file: AppendedFile

  /// Opens the log for appending after step `step`, and drops later and incomplete lines: the resumed run writes them
  /// again.
  ///
  /// - Throws: `ForgeError.tryAgain` when the file cannot be read or written.
  public init(path: String, resumingAfter step: Int) throws {
    try Self.truncate(path, after: step)
    file = try AppendedFile(path: path)
  }

  /// Appends one line with the values in the given order.
  ///
  /// - Throws: `ForgeError.tryAgain` when writing fails and the buffer is full.
  public func append(_ values: [(String, JSONLine)]) throws { try file.append(JSONLine.object(values).text + "\n") }

  /// Atomically rewrites the file without the lines after `step`.
  private static func truncate(_ path: String, after step: Int) throws {
    guard FileManager.default.fileExists(atPath: path) else { return }
    guard let contents = FileManager.default.contents(atPath: path) else { throw systemError("read", path) }
    let kept = contents.split(separator: UInt8(ascii: "\n")).filter { line in
      MetricsLine(line).map { $0.step <= step } ?? false
    }
    let rewritten = kept.flatMap { $0 + [UInt8(ascii: "\n")] }
    guard !rewritten.elementsEqual(contents) else { return }
    let replacement = path + ".partial"
    unlink(replacement)
    let file = try AppendedFile(path: replacement)
    try file.append(rewritten)
    try file.synchronize()
    guard rename(replacement, path) == 0 else { throw systemError("replace", path) }
  }
}

/// A parsed line of `metrics.jsonl`; nil for absent values, NaN for values that are not numbers.
public struct MetricsLine: Sendable {
  public var step: Int
  /// Mean nats per token.
  public var loss: Double?
  public var validationLoss: Double?
  public var tokensPerSecond: Double?

  /// nil for a line that is not an object with a step.
  public init?(_ line: some Collection<UInt8>) {
    guard let node = try? ConfigurationNode.parse(json: line, source: ""), case .mapping = node.value,
      case .integer(let step) = node["step"]?.value
    else { return nil }
    self.step = step
    loss = Self.number(node["loss"])
    validationLoss = Self.number(node["validation_loss"])
    tokensPerSecond = Self.number(node["tokens_per_second"])
  }

  private static func number(_ node: ConfigurationNode?) -> Double? {
    switch node?.value {
    case nil: nil
    case .integer(let value): Double(value)
    case .number(let value): value
    default: .nan
    }
  }
}
