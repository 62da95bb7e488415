import Testing

@testable import Checkpoints

/// Crash consistency of node-local checkpoints, by exhaustion: at any point of each node at which the job is killed or the
/// power fails, and with any one node lost with its disk, the others have a whole checkpoint between them, and the newest
/// is chosen.
@Suite struct LocalCopyCrashTests {
  /// Saves, one that replaces another, and one after a rollback behind the last.
  private static func program(_ job: CopyingJob) throws {
    try job.make()
    try job.save(100, seed: 1)
    try job.save(200, seed: 2)
    try job.save(300, seed: 3)
    try job.save(300, seed: 4)
    try job.save(250, seed: 5)
  }
  /// The first phase by which a node may be lost: all of the first save is over.
  private static let firstLoss = 6

  /// What the next job does.
  private struct Successor {
    var name: String
    var lost: Int?
    var damaged: Int?

    /// Until a damaged shard was copied, and until a new node has its partner's shards from the next save, there is
    /// nothing more to lose.
    func losesNodesFrom(_ phases: Int) -> Int { lost != nil ? phases - 1 : damaged != nil ? 5 : 0 }
  }
  private static let successors = [
    Successor(name: "all nodes are there"), Successor(name: "node 0 is a new one", lost: 0),
    Successor(name: "a shard is damaged", damaged: 1),
  ]

  private func violation(_ nodes: CrashingNodes, dropping dropped: String? = nil, isThorough: Bool) throws -> String? {
    var state = nodes.blank
    let program = try nodes.record(on: state, Self.program)
    return try nodes.violation(
      of: program, on: &state, losesNodesFrom: Self.firstLoss, dropping: dropped, isThorough: isThorough
    ) { phase, operation, killed in
      // For the next job all other changes are equivalent to earlier ones.
      guard case .rename = operation, phase > Self.firstLoss + 5 else { return nil }
      for successor in Self.successors {
        var left = killed
        if let lost = successor.lost { left[lost] = nodes.blank[lost] }
        let changes = try nodes.record(on: left) { job in
          guard let step = try job.restore(damaged: successor.damaged) else { return }
          try job.save(step + 7, seed: 8)
        }
        guard changes.count > 4 else { return "\(successor.name): there is no whole checkpoint" }
        let violation = try nodes.violation(
          of: changes, on: &left, losesNodesFrom: successor.losesNodesFrom(changes.count), dropping: dropped,
          isThorough: false)
        if let violation { return "then \(successor.name): \(violation)" }
      }
      return nil
    }
  }

  @Test func aWholeCheckpointIsFoundAfterACrashAtAnyPoint() throws {
    let nodes = try CrashingNodes()
    if let violation = try violation(nodes, isThorough: true) { Issue.record("\(violation)") }
    let points = try nodes.record(on: nodes.blank, Self.program).joined().map(\.count).reduce(0, +)
    #expect(nodes.labels.filter { !$0.contains("latest") } == Set(Self.synchronizations))
    #expect(points > 400 && nodes.states > 50)
    print(
      "\(points) changes on three nodes, \(nodes.cases) combinations of crashes, \(nodes.states) states of a checkpoint"
    )
  }

  /// Every place that synchronises, except those of `latest`: copies are found without it.
  private static let synchronizations = [
    "synchronizeFolder  after makeFolder checkpoints",
    "checkpoints before anything else",
    "synchronize checkpoints/step-N.partial/shard-N.forge",
    "synchronize checkpoints/step-N.partial/shard-N.forge.partial",
    "synchronize checkpoints/step-N/shard-N.forge.partial",
    "synchronize checkpoints/step-N.partial/manifest.json",
    "synchronizeFolder checkpoints/step-N.partial after close checkpoints/step-N.partial/manifest.json",
    "synchronizeFolder checkpoints/step-N after rename checkpoints/step-N/shard-N.forge.partial",
    "synchronizeFolder checkpoints after rename checkpoints/step-N.partial",
    "synchronizeFolder checkpoints after rename checkpoints/step-N",
  ]

  @Test(arguments: synchronizations) func withoutASynchronizationACopyIsLost(_ label: String) throws {
    let violation = try violation(CrashingNodes(), dropping: label, isThorough: false)
    print("without \(label): \(violation ?? "nothing")")
    #expect(violation != nil, "\(label) is not needed, or the test does not see what for")
  }
}
