import ArgumentParser
import Checkpoints
import Foundation
import Support

struct CheckpointDiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff", abstract: "Compare two checkpoints, tensor by tensor, and their metadata.",
    discussion: "Exit code 0 when they are equal, 1 when they differ.")

  @Argument(help: "A checkpoint; of a run, the one that latest names.")
  var first: String

  @Argument(help: "Another one.")
  var second: String

  @Option(help: "How many chunks are read at a time.")
  var threads = ProcessInfo.processInfo.activeProcessorCount

  func run() throws {
    try CheckpointCommand.check(threads: threads)
    let comparison = try CheckpointComparison(
      CheckpointReader(path: first), CheckpointReader(path: second), threads: threads)
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
    try StandardOutput.write(lines.map { $0 + "\n" }.joined())
    if !comparison.isEqual { throw ExitCode(1) }
  }

  /// A value in a line: whole files are among the metadata.
  private static func brief(_ value: JSONValue?) -> String {
    guard let text = value?.text else { return "nothing" }
    return text.count > 60 || text.contains("\n") ? "(a text of \(text.count) characters)" : text
  }
}
