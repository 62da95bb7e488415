import Foundation
import Testing

@testable import Checkpoints

/// Crash consistency by exhaustion: at every change to the disk, for all changes that a crash may lose, the reader finds the
/// newest checkpoint that was durable, and every synchronisation in the code is needed for that.
@Suite struct CrashConsistencyTests {
  /// Saves of two ranks, replacements of the newest, a rank that owns nothing, retention.
  private static func program(_ folder: CheckpointFolder, _ files: RecordingFiles) throws {
    func save(_ step: Int, seed: Int, ranks: Int = 2) throws {
      try TinyState(seed: seed).save(to: folder, step: step, ranks: ranks, files: files)
    }
    try save(100, seed: 1)
    try save(200, seed: 2)
    try save(200, seed: 3)
    try save(300, seed: 4)
    try folder.prune(keepLast: 2)
    try save(400, seed: 5, ranks: 1)
    try folder.prune(keepLast: 1, keepEvery: 200)
    try save(400, seed: 6)
    try save(500, seed: 7)
    try folder.prune(keepLast: 1)
  }

  /// What the next process does after the first was killed.
  private static let successors: [@Sendable (CheckpointFolder, RecordingFiles) throws -> Void] = [
    { try TinyState(seed: 8).save(to: $0, step: 600, files: $1) },
    { folder, _ in
      try folder.recover()
      try folder.prune(keepLast: 1)
    },
  ]

  /// The first violation over the program and, from a kill at each of its changes, over its successors.
  private func violation(_ checker: CrashChecker, dropping dropped: String? = nil, isThorough: Bool) throws -> String? {
    let operations = try checker.record(Self.program)
    return try checker.violation(of: operations, dropping: dropped, isThorough: isThorough) {
      point, disk, expectation in
      switch operations[point] {
      case .write, .committed, .synchronize: return nil  // no change for the next process
      default: break
      }
      for successor in Self.successors {
        let changes = try checker.record(from: disk.image, successor)
        let violation = try checker.violation(
          of: changes, on: disk, expecting: expectation, dropping: dropped, isThorough: false)
        if let violation { return "killed after change \(point), \(operations[point].kind), then \(violation)" }
      }
      return nil
    }
  }

  @Test func theRightCheckpointIsFoundAfterACrashAtAnyPoint() throws {
    let checker = try CrashChecker()
    if let violation = try violation(checker, isThorough: true) { Issue.record("\(violation)") }
    let points = try checker.record(Self.program).count
    #expect(points > 200)
    #expect(checker.trees > 500)
    print("\(points) changes, \(checker.cases) crashes, \(checker.trees) different trees")
  }

  /// Every place in the code that synchronises, by what comes before it.
  private static let synchronizations = [
    "synchronizeFolder  after makeFolder checkpoints",
    "checkpoints before anything else",
    "synchronize checkpoints/step-N.partial/shard-N.forge",
    "synchronize checkpoints/step-N.partial/manifest.json",
    "synchronizeFolder checkpoints/step-N.partial after close checkpoints/step-N.partial/manifest.json",
    "synchronizeFolder checkpoints after removeFile checkpoints/latest",
    "synchronizeFolder checkpoints after rename checkpoints/step-N.partial",
    "synchronize checkpoints/latest.partial",
    "synchronizeFolder checkpoints after rename checkpoints/latest.partial",
    "synchronizeFolder checkpoints after rename checkpoints/step-N",
  ]

  @Test func thereAreNoOtherSynchronizations() throws {
    let operations = try CrashChecker().record(Self.program)
    let labels = zip(operations, [nil] + operations.map { $0 }).compactMap { CrashChecker.label($0, after: $1) }
    #expect(Set(labels) == Set(Self.synchronizations))
  }

  @Test(arguments: synchronizations) func withoutASynchronizationACheckpointIsLost(_ label: String) throws {
    let violation = try violation(CrashChecker(), dropping: label, isThorough: false)
    print("without \(label): \(violation ?? "nothing")")
    #expect(violation != nil, "\(label) is not needed, or the test does not see what for")
  }
}
