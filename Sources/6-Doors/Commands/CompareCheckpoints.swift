import Checkpoints
import Foundation
import Support

/// A request to compare two checkpoints, tensor by tensor, and their metadata.
public struct CompareCheckpoints: Command {
  /// A checkpoint, or a run, of which `latest` names the checkpoint; `second` too.
  public var first: String
  public var second: String
  /// The number of chunks to read in parallel.
  public var threads: Int

  public init(first: String, second: String, threads: Int) {
    (self.first, self.second, self.threads) = (first, second, threads)
  }

  public func run(_ sinks: CommandSinks) throws -> CheckpointDifferences {
    try ThreadLimit.check(threads)
    return CheckpointDifferences(
      comparison: try CheckpointComparison(
        CheckpointReader(path: first), CheckpointReader(path: second), threads: threads))
  }
}

/// The differences between two checkpoints; the exit code is 1 if there are any.
public struct CheckpointDifferences: CommandResult {
  public let comparison: CheckpointComparison

  public var exitCode: Int32 { comparison.isEqual ? 0 : 1 }

  public var text: String {
    func describe(_ tensor: TensorDescription) -> String { "\(tensor.dtype.rawValue) \(tensor.shape)" }
    var lines: [String] = []
    if comparison.steps.first != comparison.steps.second {
      lines.append("step: \(comparison.steps.first), \(comparison.steps.second)")
    }
    lines += comparison.onlyInFirst.map { "only in the first: \($0.name), \(describe($0))" }
    lines += comparison.onlyInSecond.map { "only in the second: \($0.name), \(describe($0))" }
    lines += comparison.reshaped.map { pair in
      "\(pair.first.name): \(describe(pair.first)), \(describe(pair.second))"
    }
    lines += comparison.changed.map {
      "\($0.tensor): \($0.differing) of \($0.count) elements differ, at most by \(String(format: "%.6g", $0.largest))"
    }
    lines += comparison.metadata.map { entry in
      "metadata \(entry.key): " + [entry.first, entry.second].map(Self.brief).joined(separator: ", ")
    }
    lines.append("\(comparison.equalTensors) tensors are equal")
    return lines.map { $0 + "\n" }.joined()
  }

  /// A metadata value on one line; long texts, such as whole files, are abbreviated to their length.
  private static func brief(_ value: JSONValue?) -> String {
    guard let text = value?.text else { return "nothing" }
    return text.count > 60 || text.contains("\n") ? "(a text of \(text.count) characters)" : text
  }

  public var json: JSONLine {
    func value(_ value: JSONValue?) -> JSONLine { value.map { .value($0) } ?? .null }
    return .object([
      ("equal", .boolean(comparison.isEqual)),
      ("steps", .integers([comparison.steps.first, comparison.steps.second])),
      ("only_in_first", .list(comparison.onlyInFirst.map { .tensor($0) })),
      ("only_in_second", .list(comparison.onlyInSecond.map { .tensor($0) })),
      (
        "reshaped",
        .list(comparison.reshaped.map { .object([("first", .tensor($0.first)), ("second", .tensor($0.second))]) })
      ),
      (
        "changed",
        .list(
          comparison.changed.map {
            .object([
              ("tensor", .string($0.tensor)), ("differing", .integer($0.differing)), ("elements", .integer($0.count)),
              ("largest", .number($0.largest)),
            ])
          })
      ),
      (
        "metadata",
        .list(
          comparison.metadata.map {
            .object([("key", .string($0.key)), ("first", value($0.first)), ("second", value($0.second))])
          })
      ),
      ("equal_tensors", .integer(comparison.equalTensors)),
    ])
  }
}
