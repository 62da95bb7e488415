import Checkpoints
import MPI
import Parallelism
import RunStore
import Support

extension RunState {
  /// The restored checkpoint that a run is resumed from.
  struct Restored {
    let record: RunRecord
    /// The step of the newest checkpoint on the shared disk; nil for none.
    let sharedStep: Int?
    /// Whether the state was restored from node-local checkpoints.
    let isFromCopies: Bool
  }

  /// A checkpoint that the run may be resumed from.
  private enum Candidate {
    case shared(step: Int)
    case copies(NodeLocalCheckpoint)

    /// The preference, highest first: newest step, and of one step node-local checkpoints, which are read faster.
    var rank: (step: Int, isLocal: Int) {
      switch self {
      case .shared(let step): (step, 0)
      case .copies(let checkpoint): (checkpoint.step, 1)
      }
    }

    /// Whether another candidate is to be tried after an error. For node-local checkpoints any error, such as a full
    /// disk.
    func isLost(by error: ForgeError) -> Bool {
      if case .copies = self { true } else { error.kind == .badInput }
    }
  }

  /// Restores the newest sound checkpoint, node-local or shared; damaged ones are reported and skipped. Collective.
  ///
  /// - Parameters:
  ///   - last: the newest step to consider.
  ///   - copies: the node-local checkpoints, if the run has any.
  /// - Returns: nil when there is no checkpoint.
  /// - Throws: `ForgeError.badInput` when all are damaged, or when the run was started with other settings.
  func restore(upTo last: Int = .max, copies: NodeLocalCheckpoints? = nil) throws -> Restored? {
    let folder = directory.checkpoints
    let shared = try sharedSteps(in: folder).filter { $0 <= last }
    if communicator.isLeader, !shared.isEmpty, let problem = CheckpointReader.latestProblem(in: folder.path) {
      note("\(problem); the checkpoints themselves are looked at")
    }
    var candidates =
      try shared.map { .shared(step: $0) } + soundCopies(copies, after: shared.last ?? 0).map(Candidate.copies)
    candidates.removeAll { $0.rank.step > last }
    candidates.sort { $0.rank < $1.rank }
    var isTouched = false
    while let candidate = candidates.popLast() {
      let reader: CheckpointReader
      do { reader = try open(candidate, copies, in: folder) } catch let damage as ForgeError
        where candidate.isLost(by: damage)
      {
        candidates += try remains(of: candidate, copies, damage)
        continue
      }
      let record = try RunRecord(reader, continuing: configuration, sources: found.sources)
      isTouched = true
      do { try checkpoints.load(reader) } catch let damage as ForgeError where candidate.isLost(by: damage) {
        candidates += try remains(of: candidate, copies, damage)
        continue
      }
      adopt(record, step: candidate.rank.step)
      guard case .copies = candidate else { return Restored(record: record, sharedStep: step, isFromCopies: false) }
      note(
        "step \(step) is restored from the nodes' own copies; the shared disk has "
          + (shared.last.map { "step \($0)" } ?? "no checkpoint yet"))
      return Restored(record: record, sharedStep: shared.last, isFromCopies: true)
    }
    guard shared.isEmpty else {
      throw ForgeError.badInput(
        "none of the \(shared.count) checkpoints in '\(folder.path)' is sound",
        hint: "remove the folder to start the run anew", code: .fileDamaged)
    }
    // The state is partly loaded, so it cannot be initialised as at a new start.
    guard !isTouched else {
      throw ForgeError.tryAgain(
        "the nodes' copies are damaged, and there is no checkpoint yet", hint: "start the run again", code: .fileDamaged
      )
    }
    return nil
  }

  /// Reports the damage of a candidate.
  ///
  /// - Returns: the same node-local checkpoint without its damaged shards, if the partners' copies complete it.
  private func remains(
    of candidate: Candidate, _ copies: NodeLocalCheckpoints?, _ damage: ForgeError
  ) throws -> [Candidate] {
    guard let copies, case .copies(let checkpoint) = candidate else {
      note("skipping a damaged checkpoint: \(damage)")
      return []
    }
    note("the nodes' copies of step \(checkpoint.step) cannot be used as they are: \(damage)")
    let threads = engine.backend.team.count
    return try copies.withoutDamage(checkpoint, threads: threads, report: note).map { [.copies($0)] } ?? []
  }

  /// The steps of the checkpoints on the shared disk, as rank 0 finds them.
  private func sharedSteps(in folder: CheckpointFolder) throws -> [Int] {
    let steps = communicator.isLeader ? folder.steps() : []
    let found = try communicator.broadcast(steps.flatMap { withUnsafeBytes(of: $0, Array.init) }, root: 0)
    return found.withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count, by: 8).map { bytes.loadUnaligned(fromByteOffset: $0, as: Int.self) }
    }
  }

  /// The complete node-local checkpoints. Those that followed a shared checkpoint that has been removed are skipped:
  /// removing it was meant to undo them.
  private func soundCopies(_ copies: NodeLocalCheckpoints?, after sharedStep: Int) throws -> [NodeLocalCheckpoint] {
    guard let copies else { return [] }
    var newest = sharedStep
    return try copies.find(report: { note("skipping a damaged copy: \($0)") }).filter { copy in
      guard copy.sharedStep <= sharedStep else {
        note(
          "leaving out the nodes' copies of step \(copy.step): the checkpoint of step \(copy.sharedStep), which they "
            + "followed, was removed from the shared disk")
        return false
      }
      if let missing = copy.missing.first, copy.step > newest {
        note(
          "leaving out the nodes' copies of step \(copy.step): \(missing)"
            + (copy.missing.count > 1 ? " and \(copy.missing.count - 1) more are" : " is") + " on none of the nodes")
      }
      if copy.missing.isEmpty { newest = max(newest, copy.step) }
      return copy.missing.isEmpty
    }
  }

  private func open(
    _ candidate: Candidate, _ copies: NodeLocalCheckpoints?, in folder: CheckpointFolder
  ) throws -> CheckpointReader {
    switch candidate {
    case .copies(let checkpoint):
      guard let copies else { preconditionFailure("a run without copies has none to continue from") }
      return try copies.assemble(checkpoint, for: checkpoints)
    case .shared(let step):
      return try communicator.together { try CheckpointReader(path: folder.path(step: step)) }
    }
  }
}
