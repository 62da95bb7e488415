import Checkpoints
import Diagnostics
import MPI
import Parallelism
import Pretrained

extension Trainer {
  /// Continues from the newest sound checkpoint of the run directory, or starts from a pretrained model or at random.
  ///
  /// - Returns: the checkpoint's record; nil at a start.
  func restoreOrInitialize() throws -> RunRecord? {
    if let record = try restore() {
      try checkSources(continuing: record)
      return record
    }
    try checkSources()
    try initialize()
    return nil
  }

  func initialize() throws {
    // Every rank reads or computes what it owns; the rest comes from the other ranks.
    let owned = engine.state.owned.filter { !$0.isEmpty }
    try communicator.together {
      if let folder = configuration.pretrained {
        try PretrainedModel(path: folder).load(
          into: engine.parameters, ranges: owned, threads: engine.compute.team.count)
      } else {
        engine.layout.initialize(
          engine.parameters, ranges: owned, configuration: configuration.model, seed: configuration.run.seed,
          compute: engine.compute)
      }
    }
    try engine.state.gatherOwned()
    trainingStep.parametersChanged()
    try keepModelFiles()
  }

  /// Keeps what the folder of `model.from` holds beside the weights, for the exports of this run.
  private func keepModelFiles() throws {
    guard lease != nil else { return }
    try communicator.together {
      guard communicator.rank == 0 else { return }
      try checkLease()
      let files = try configuration.pretrained.map { try ModelFolderFiles(model: $0) } ?? ModelFolderFiles()
      try files.keep(inRun: directory.path)
      if let note = files.leftOutNote { reporter.note(note) }
    }
  }

  /// A checkpoint that the run may continue from.
  private enum Candidate {
    case shared(step: Int)
    case copies(LocalCheckpoint)

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
  /// - Parameter last: the newest step to consider.
  /// - Returns: nil when there is no checkpoint.
  /// - Throws: `ForgeError.badInput` when all are damaged, or when the run was started with other settings.
  func restore(upTo last: Int = .max) throws -> RunRecord? {
    let folder = directory.checkpoints
    let shared = try sharedSteps(in: folder).filter { $0 <= last }
    if communicator.rank == 0, !shared.isEmpty, let problem = CheckpointReader.problemOfLatest(in: folder.path) {
      reporter.note("\(problem); the checkpoints themselves are looked at")
    }
    var candidates = try shared.map { .shared(step: $0) } + soundCopies(after: shared.last ?? 0).map(Candidate.copies)
    candidates.removeAll { $0.rank.step > last }
    candidates.sort { $0.rank < $1.rank }
    var isTouched = false
    while let candidate = candidates.popLast() {
      let reader: CheckpointReader
      do { reader = try open(candidate, in: folder) } catch let damage as ForgeError where candidate.isLost(by: damage)
      {
        candidates += try remains(of: candidate, damage)
        continue
      }
      let record = try RunRecord(reader, continuing: configuration, sources: found.sources)
      isTouched = true
      do { try checkpoints.load(reader) } catch let damage as ForgeError where candidate.isLost(by: damage) {
        candidates += try remains(of: candidate, damage)
        continue
      }
      trainingStep.progress = record.progress
      trainingStep.parametersChanged(to: candidate.rank.step)
      step = candidate.rank.step
      lastCopy.step = step
      switch candidate {
      case .shared: saves.restored(step: step)
      case .copies:
        saves.restoredFromCopies(sharedStep: shared.last)
        reporter.note(
          "step \(step) is restored from the nodes' own copies; the shared disk has "
            + (shared.last.map { "step \($0)" } ?? "no checkpoint yet"))
      }
      return record
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
  private func remains(of candidate: Candidate, _ damage: ForgeError) throws -> [Candidate] {
    guard let copies, case .copies(let checkpoint) = candidate else {
      reporter.note("skipping a damaged checkpoint: \(damage)")
      return []
    }
    reporter.note("the nodes' copies of step \(checkpoint.step) cannot be used as they are: \(damage)")
    let threads = engine.compute.team.count
    return try copies.withoutDamage(checkpoint, threads: threads, report: reporter.note).map { [.copies($0)] } ?? []
  }

  /// The steps of the checkpoints on the shared disk, as rank 0 sees them.
  private func sharedSteps(in folder: CheckpointFolder) throws -> [Int] {
    let steps = communicator.rank == 0 ? folder.steps() : []
    let found = try communicator.broadcast(steps.flatMap { withUnsafeBytes(of: $0, Array.init) }, root: 0)
    return found.withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count, by: 8).map { bytes.loadUnaligned(fromByteOffset: $0, as: Int.self) }
    }
  }

  /// The nodes' copies that the run may continue from. Copies that followed a checkpoint on the shared disk that is not
  /// there any more are of a course that somebody wanted undone.
  private func soundCopies(after sharedStep: Int) throws -> [LocalCheckpoint] {
    guard let copies else { return [] }
    var newest = sharedStep
    return try copies.find(report: { reporter.note("skipping a damaged copy: \($0)") }).filter { copy in
      guard copy.sharedStep <= sharedStep else {
        reporter.note(
          "leaving out the nodes' copies of step \(copy.step): the checkpoint of step \(copy.sharedStep), which they "
            + "followed, was removed from the shared disk")
        return false
      }
      if let missing = copy.missing.first, copy.step > newest {
        reporter.note(
          "leaving out the nodes' copies of step \(copy.step): \(missing)"
            + (copy.missing.count > 1 ? " and \(copy.missing.count - 1) more are" : " is") + " on none of the nodes")
      }
      if copy.missing.isEmpty { newest = max(newest, copy.step) }
      return copy.missing.isEmpty
    }
  }

  private func open(_ candidate: Candidate, in folder: CheckpointFolder) throws -> CheckpointReader {
    switch candidate {
    case .copies(let checkpoint):
      guard let copies else { preconditionFailure("a run without copies has none to continue from") }
      return try copies.assemble(checkpoint, for: checkpoints)
    case .shared(let step):
      return try communicator.together { try CheckpointReader(path: folder.path(step: step)) }
    }
  }

  // MARK: Going back

  private static let mostRollbacks = 10

  /// Returns to the last checkpoint and takes a step's batch out of the data.
  ///
  /// Nothing of this has to survive a crash: a run that starts again from the same checkpoint meets the same batch, and
  /// decides the same.
  ///
  /// - Returns: false when there is no checkpoint to return to; the update is then only left out.
  func rollBack(_ outcome: StepOutcome) throws -> Bool {
    try settleSave(waiting: true)
    let (from, skipped) = (step, trainingStep.progress.skippedBatches)
    try engine.state.waitForParameters()
    guard let record = try restore() else { return false }
    let batch = outcome.firstSequence / configuration.batch.sequences
    trainingStep.progress.skippedBatches = Array(Set(skipped + [batch])).sorted()
    guard trainingStep.progress.skippedBatches.count - record.progress.skippedBatches.count <= Self.mostRollbacks else {
      throw ForgeError.badInput(
        "the run went back to step \(step) \(Self.mostRollbacks) times and always met a bad step again: training has "
          + "diverged; lower optimizer.learning_rate or start from an earlier checkpoint")
    }
    try checkLease()
    try reporter.rolledBack(from: from, to: step, outcome, documents: documents(of: outcome))
    return true
  }

  private static let mostRepairs = 3

  /// Mends parameters that changed by themselves; the step is computed again.
  func repair(_ damage: ReplicaCheck.Damage) throws {
    let hosts = reporter.describe(ranks: damage.ranks)
    repairs += 1
    guard repairs <= Self.mostRepairs else {
      throw ForgeError.tryAgain(
        "\(hosts): parameters in memory change by themselves again and again; exclude the machine, and start the run again"
      )
    }
    // With copies that every rank updates by itself, a change before the last comparison is in all gradients since.
    let isFresh = configuration.parallelism.sharding != .none || configuration.run.compareReplicas == 1
    if damage.ownersAreSound, isFresh {
      try checkLease()
      try engine.state.gatherOwned()
      trainingStep.parametersChanged()
      try reporter.repaired(step: step + 1, hosts: hosts, how: "taken from the other ranks again")
      return
    }
    try settleSave(waiting: true)
    try engine.state.waitForParameters()
    try checkLease()
    // What was saved since the last comparison may hold the change.
    let (from, sound) = (step, trainingStep.comparedStep)
    try communicator.together {
      guard communicator.rank == 0, let lease else { return }
      try directory.checkpoints(under: lease).remove(after: sound)
    }
    guard try restore(upTo: sound) != nil else {
      throw ForgeError.tryAgain(
        "\(hosts): parameters in memory have changed by themselves, and there is no checkpoint to return to; have the "
          + "memory checked, and start the run again")
    }
    try reporter.repaired(step: from + 1, hosts: hosts, how: "restored from the checkpoint of step \(step)")
    try reporter.rewind(to: step)
  }

  /// The documents of a step's batch, by dataset; on rank 0 only, who records them.
  func documents(of outcome: StepOutcome) -> [String] {
    guard communicator.rank == 0 else { return [] }
    return (0..<configuration.batch.sequences).map { place in
      let (dataset, documents) = data.documents(ofSequence: outcome.firstSequence + place)
      return documents.count == 1
        ? "\(dataset):\(documents.lowerBound)" : "\(dataset):\(documents.lowerBound)-\(documents.upperBound)"
    }
  }
}
