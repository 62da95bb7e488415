import Checkpoints
import MPI
import Parallelism
import RunStore
import Support

extension RunState {
  /// What a run continues from.
  struct Restored {
    let record: RunRecord
    /// The newest checkpoint on the shared disk.
    let sharedStep: Int?
    /// Whether the state is that of the nodes' own copies.
    let isFromCopies: Bool
  }

  /// A checkpoint that the run may continue from.
  private enum Candidate {
    case shared(step: Int)
    case copies(NodeLocalCheckpoint)

    /// In the order in which they are tried: of one step, the nodes' copies are read faster.
    var rank: (step: Int, isLocal: Int) {
      switch self {
      case .shared(let step): (step, 0)
      case .copies(let checkpoint): (checkpoint.step, 1)
      }
    }

    /// Whether an error speaks for trying another one. A node's disk may also be full.
    func isLost(by error: ForgeError) -> Bool {
      if case .copies = self { true } else { error.kind == .badInput }
    }
  }

  /// Reads the newest checkpoint of which every chunk is sound, from the nodes' own disks or the shared one; a damaged one
  /// is named and the one before it tried.
  ///
  /// - Parameters:
  ///   - last: the newest step to consider.
  ///   - copies: on the nodes' own disks, when the run has some.
  /// - Returns: nil when there is no checkpoint.
  /// - Throws: `ForgeError.badInput` when all are damaged, or when the run was started with other settings.
  func restore(upTo last: Int = .max, copies: NodeLocalCheckpoints? = nil) throws -> Restored? {
    let folder = directory.checkpoints
    let shared = try sharedSteps(in: folder).filter { $0 <= last }
    if communicator.isLeader, !shared.isEmpty, let problem = CheckpointReader.problemOfLatest(in: folder.path) {
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
        "none of the \(shared.count) checkpoints in '\(folder.path)' is sound; remove the folder to start the run anew")
    }
    // A part of it is in the state already, which is neither what it was nor a beginning.
    guard !isTouched else {
      throw ForgeError.tryAgain("the nodes' copies are damaged, and there is no checkpoint yet; start the run again")
    }
    return nil
  }

  /// Names what is damaged.
  ///
  /// - Returns: the same copies without what is damaged, if the partners' make them whole.
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

  /// The steps of the checkpoints on the shared disk, as rank 0 sees them.
  private func sharedSteps(in folder: CheckpointFolder) throws -> [Int] {
    let steps = communicator.isLeader ? folder.steps() : []
    let found = try communicator.broadcast(steps.flatMap { withUnsafeBytes(of: $0, Array.init) }, root: 0)
    return found.withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count, by: 8).map { bytes.loadUnaligned(fromByteOffset: $0, as: Int.self) }
    }
  }

  /// The nodes' copies that the run may continue from. Copies that followed a checkpoint on the shared disk that is not
  /// there any more are of a course that somebody wanted undone.
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
