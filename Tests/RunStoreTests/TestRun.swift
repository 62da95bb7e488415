import Checkpoints
import Foundation
import Support
import Testing

@testable import RunStore

/// A run's directory, with a ledger and checkpoints of a few bytes, that is removed when the test ends.
final class TestRun {
  let directory: RunDirectory
  let ledger: StepLedger

  init(settings: String = "mine") throws {
    directory = RunDirectory(
      path: FileManager.default.temporaryDirectory.appendingPathComponent("run-\(UUID().uuidString)").path)
    try directory.make()
    ledger = try StepLedger(
      path: directory.ledger, continuingFrom: nil, settings: "", expected: settings, report: { _ in })
  }

  deinit { try? FileManager.default.removeItem(atPath: directory.path) }

  func start(after step: Int) throws { try ledger.append("start", [("after_step", .integer(step))]) }

  func steps(_ steps: ClosedRange<Int>) throws {
    for step in steps {
      _ = try ledger.append(
        StepLedger.Step(
          step: step, sequences: 4 * step - 4..<4 * step, batch: "b\(step)", loss: 1, gradientNorm: 1, isApplied: true),
        kernelFamily: "haswell", ranks: 1)
    }
  }

  /// - Parameter isRecorded: whether the ledger has a line of it, as it has unless the run is killed in between.
  func checkpoint(_ step: Int, isRecorded: Bool = true, knowsLedger: Bool = true, content: UInt8 = 1) throws {
    let folder = directory.checkpoints
    let tensor = TensorDescription(name: "x", dtype: .u8, shape: [2])
    let writer = try ChunkWriter(folder: folder.begin(step: step), rank: 0, level: -50)
    try [content, 2].withUnsafeBytes { try writer.write(tensor: tensor, bytes: $0) }
    let metadata: JSONValue = knowsLedger ? .object([StepLedger.Position.key: ledger.position.metadata]) : [:]
    try folder.commit(step: step, tensors: [tensor], chunks: writer.finish(), metadata: metadata)
    guard isRecorded else { return }
    let root = try #require(folder.latestRoot(step: step))
    try ledger.append("checkpoint", [("step", .integer(step)), ("root", .string(root))])
  }

  /// Rewrites the ledger's lines, without regard to its chain.
  func edit(_ change: (inout [String]) -> Void) throws {
    var lines = try String(contentsOfFile: directory.ledger, encoding: .utf8).split(separator: "\n").map(String.init)
    change(&lines)
    try (lines.joined(separator: "\n") + "\n").write(toFile: directory.ledger, atomically: true, encoding: .utf8)
  }
}
