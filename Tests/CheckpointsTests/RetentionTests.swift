import Foundation
import Support
import Testing

@testable import Checkpoints

@Suite struct RetentionTests {
  private let steps = [100, 200, 300, 400, 500, 600]
  private let temporary: TestFolder
  private let folder: CheckpointFolder

  init() throws {
    temporary = try TestFolder()
    folder = CheckpointFolder(path: temporary.path + "/checkpoints")
  }

  @Test func theNewestStay() {
    #expect(Retention(keepLast: 2).deletions(steps: steps, losses: [:]) == [100, 200, 300, 400])
    #expect(Retention(keepLast: 6).deletions(steps: steps, losses: [:]) == [])
    #expect(Retention(keepLast: 9).deletions(steps: steps, losses: [:]) == [])
    #expect(Retention(keepLast: 1).deletions(steps: [], losses: [:]) == [])
  }

  @Test func multiplesStayForEver() {
    #expect(Retention(keepLast: 1, keepEvery: 200).deletions(steps: steps, losses: [:]) == [100, 300, 500])
    #expect(Retention(keepLast: 1, keepEvery: 7).deletions(steps: steps, losses: [:]) == [100, 200, 300, 400, 500])
  }

  @Test func theBestStay() {
    let losses = [100: 3.0, 200: 1.5, 300: 2.0, 400: 1.5, 600: 2.5]
    #expect(Retention(keepLast: 1, keepBest: 1).deletions(steps: steps, losses: losses) == [100, 300, 400, 500])
    #expect(Retention(keepLast: 1, keepBest: 2).deletions(steps: steps, losses: losses) == [100, 300, 500])
    #expect(Retention(keepLast: 1, keepEvery: 500, keepBest: 3).deletions(steps: steps, losses: losses) == [100])
    #expect(Retention(keepLast: 1, keepBest: 9).deletions(steps: steps, losses: losses) == [500], "no loss, not best")
    #expect(Retention(keepLast: 1, keepBest: 1).deletions(steps: steps, losses: [600: 1]) == [100, 200, 300, 400, 500])
  }

  @Test func lossesOfDifferentSetsAreNotCompared() throws {
    let losses = [100: 1.0, 200: 2.0, 300: 9.0, 400: 8.0, 500: 8.5]
    let sets = [300: "new", 400: "new", 500: "new"]
    let retention = Retention(keepLast: 1, keepBest: 1)
    #expect(retention.deletions(steps: steps, losses: losses, sets: sets) == [200, 300, 500], "the best of each")
    try make([(1, 1), (2, 2)])
    try make([(3, 9), (4, 8), (5, 10)], sets: "new")
    try folder.prune(keepLast: 1, keepBest: 1)
    #expect(folder.steps() == [1, 4, 5])
  }

  /// Checkpoints of a few bytes with validation losses.
  private func make(_ losses: [(step: Int, loss: Double?)], sets: String? = nil) throws {
    for (step, loss) in losses {
      let tensor = TensorDescription(name: "x", dtype: .u8, shape: [2])
      let writer = try ChunkWriter(folder: folder.begin(step: step), rank: 0, level: -50)
      try [UInt8(1), 2].withUnsafeBytes { try writer.write(tensor: tensor, bytes: $0) }
      let metadata: JSONValue =
        loss.map { ["validation_loss": .number($0), "validation_sets_sha256": sets.map { .string($0) } ?? .null] }
        ?? [:]
      try folder.commit(step: step, tensors: [tensor], chunks: writer.finish(), metadata: metadata)
    }
  }

  @Test func pruningReadsTheLossesOfTheCheckpoints() throws {
    try make([(1, 2), (2, 1), (3, nil), (4, 1), (5, 3)])
    #expect(folder.summaries().map(\.validationLoss) == [2, 1, nil, 1, 3])
    #expect(try folder.prune(keepLast: 1, keepBest: 1) == 5)
    #expect(folder.steps() == [2, 5])
  }

  @Test func latestNeverNamesWhatIsDeleted() throws {
    try make([(1, nil), (2, nil)])
    let first = try CheckpointReader(path: folder.path(step: 1))
    try folder.moveLatest(to: 1, root: first.root)  // as after a crash before it was updated
    #expect(folder.latestStep == 1)
    try folder.prune(keepLast: 1)
    #expect(folder.latestStep == 2)
    #expect(try CheckpointReader(path: folder.path).step == 2)
  }

  @Test func aLockedRunIsLeftAlone() throws {
    try make([(1, nil)])
    _ = try RunLock(of: folder)  // there is no lock file
    let descriptor = open(temporary.path + "/.lock", O_RDWR | O_CREAT, 0o600)
    defer { close(descriptor) }
    _ = try RunLock(of: folder)
    #expect(flock(descriptor, LOCK_EX | LOCK_NB) == 0, "a lock goes with its object")
    let error = #expect(throws: ForgeError.self) { try RunLock(of: folder) }
    #expect(error?.exitCode == 75 && error?.description.contains("a job is writing to the run") == true)
  }
}
