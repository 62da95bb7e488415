import Checkpoints
import Datasets
import Diagnostics
import Engine
import Formats
import Foundation
import Kernels
import MPI
import Models
import Parallelism
import Placement
import Planning
import Pretrained
import Settings

/// A training run on one rank. It only sequences: what happens in a step is `TrainingStep`'s affair, what is summed and
/// sharded `Parallelism`'s, and what is computed `Models`'.
public final class Trainer {
  let configuration: RunConfiguration
  let communicator: Communicator
  let directory: RunDirectory
  /// The right to write there; nil for a run that only looks.
  let lease: RunLease?
  /// Keeps the record of what this rank does, and ends a job that hangs; nil for a run that only looks.
  let watchdog: Watchdog?
  let data: TrainingData
  let engine: Engine
  let trainingStep: TrainingStep
  let validation: Validation?
  /// Why the validation that was asked for cannot be.
  let validationObjection: ForgeError?
  /// What the run is made from, as it was found at this start.
  var found: FoundSources
  let checkpoints: CheckpointTransfer
  let saver: CheckpointSaver
  /// Checkpoints on the nodes' own disks; nil where there are none.
  let copies: LocalCopies?
  let memory: MemoryPlan
  /// Bytes that the process had before anything was laid out: program and libraries.
  let baselineBytes: Int
  let reporter: RunReporter
  /// Steps done.
  var step = 0
  var saves = SaveState()
  /// Of memory, since the last step that was done.
  var repairs = 0
  var lastCopy = CopyState()

  /// The main loop.
  ///
  /// - Returns: the process's exit code: 0 when the run is complete, 75 when it was asked to stop and can be continued.
  /// - Throws: `ForgeError`, `MPIError`.
  public func run() throws -> Int32 {
    let restored = try during(.restoring) { try restoreOrInitialize() }
    try reporter.begin(self, continuing: restored)
    keepSources()
    var validationLoss: Double?
    while step < configuration.run.steps {
      let started = ContinuousClock.now
      guard let outcome = try nextStep() else { continue }
      step += 1
      let seconds = (ContinuousClock.now - started) / .seconds(1)
      validationLoss =
        isDue(configuration.validation.every)
        ? try during(.validation) { try validation?.loss(engine) } : nil
      try during(.recording) {
        try checkLease()
        try reporter.record(step: step, outcome, seconds: seconds, validationLoss: validationLoss) {
          documents(of: outcome)
        }
        reporter.tell(trainingStep.balance)
        try settleSave()
      }
      guard step < configuration.run.steps else { break }
      if outcome.stopRequested {
        try during(.checkpoint) { try saveAndWait(validationLoss) }
        reporter.stopped(step: step)
        try lease?.release()
        return ForgeError.Kind.tryAgain.exitCode
      }
      if isDue(configuration.checkpoint.every) || outcome.saveRequested {
        try during(.checkpoint) { try startSave(validationLoss) }
      } else if try isCopyDue() {
        try during(.checkpoint) { try startCopy(validationLoss) }
      }
    }
    try during(.checkpoint) { try saveAndWait(validationLoss) }
    try during(.ending) {
      try checkLease()
      try reporter.end(self)
      discardCopies()
    }
    try lease?.release()
    return 0
  }

  /// Something that is no step, and may take longer.
  private func during<Result>(_ phase: BlackBox.Phase, _ body: () throws -> Result) rethrows -> Result {
    try watchdog?.phase(phase, body) ?? body()
  }

  /// One step; nil when the run had to go back instead, and continues from where it is now.
  private func nextStep() throws -> StepOutcome? {
    do {
      let wishes = TrainingStep.Wishes(stop: StopSignals.requested, save: saves.isRetryDue)
      watchdog?.beginStep(step + 1)
      let outcome = try trainingStep.run(step: step + 1, wishes: wishes)
      watchdog?.endStep()
      let goesBack = !outcome.isApplied && configuration.spikes.policy == .rollback
      repairs = 0
      return try goesBack && during(.restoring, { try rollBack(outcome) }) ? nil : outcome
    } catch let damaged as TrainingStep.DamagedReplicas {
      try during(.restoring) { try repair(damaged.damage) }
      return nil
    }
  }

  /// Ends a run whose directory another job has taken over, before it writes anything more.
  func checkLease() throws {
    guard communicator.rank == 0 else { return }
    do { try lease?.check() } catch {
      reporter.abandon()
      throw error
    }
  }

  /// Every so many steps, and at the end; never for 0.
  func isDue(_ interval: Int) -> Bool {
    interval > 0 && (step % interval == 0 || step == configuration.run.steps)
  }

  /// - Parameters:
  ///   - communicator: all ranks of the run.
  ///   - writes: false for a run that only looks: it takes no lease and leaves the run directory as it is.
  /// - Throws: `ForgeError.badInput` for data, weights or a run directory that cannot be used.
  public init(_ configuration: RunConfiguration, communicator: Communicator, writes: Bool = true) throws {
    if writes { StopSignals.install() }
    self.configuration = configuration
    self.communicator = communicator
    directory = RunDirectory(path: configuration.run.directory)
    try Agreement.check(configuration, communicator)
    let threads = configuration.run.threads ?? Self.defaultThreads()
    let warnings =
      [
        ProcessorAffinity.makeRoom(forThreads: threads),
        configuration.run.kernelFamily == nil ? KernelFamily.advice : nil,
      ].compactMap(\.self) + configuration.warnings
    let (rank, ranks) = (communicator.rank, communicator.size)

    reporter = RunReporter(configuration, directory: directory, isLeader: rank == 0, warnings: warnings)
    // Before all else that may fail: an automatic restart that comes to nothing is counted there.
    lease = writes ? try directory.lease(configuration, communicator: communicator, say: reporter.note) : nil
    let model = configuration.model
    let settings = configuration.data
    found = try FoundSources(
      configuration, directory, communicator: communicator, threads: threads, start: lease?.record.epoch ?? 0,
      note: reporter.note)
    data = try TrainingData(
      sources: settings.train, sequenceLength: settings.sequenceLength, shuffle: settings.shuffle,
      documentMask: settings.documentMask, seed: configuration.run.seed, vocabularySize: model.vocabularySize,
      checkingPart: rank, of: ranks, checkedVocabularies: found.checkedVocabularies)
    watchdog =
      writes
      ? try Watchdog(configuration.watchdog, directory, communicator: communicator, lease: lease, warn: reporter.note)
      : nil

    baselineBytes = ResidentMemory.bytes()
    let compute = Compute(threads: threads)
    // All ranks were promised so many, and the others would wait for the slow one.
    try communicator.together { if let shortage = compute.team.shortage { throw shortage } }
    var plan: MemoryPlan?
    engine = try Engine(EngineOptions(configuration, ranks: ranks), world: communicator, compute: compute) {
      placement, dispatcher in
      let planned = MemoryPlan(
        configuration, placement: placement, rank: rank, threads: threads,
        neighbours: min(ranks, LaunchEnvironment.current.localSize), lendsExperts: dispatcher?.lendsExperts ?? false)
      plan = planned
      // Parameters and gradient sums are laid out whole, however little of them this rank keeps, and rows for the worst case.
      let laidOut = Decoder.plannedBytes(
        model, sequences: configuration.batch.microBatch, length: settings.sequenceLength, training: true,
        experts: placement.experts.experts(of: rank).count, arrivals: dispatcher?.arrivals)
      try communicator.together {
        try AddressSpace.check(
          bytes: 12 * placement.layout.count + laidOut
            + planned.bytes(besides: ["parameters", "gradient sums", "activations"]))
      }
    }
    guard let plan else { preconditionFailure("an engine looks at its memory before it lays it out") }
    memory = plan
    let loader = BatchLoader(
      sequenceLength: settings.sequenceLength, microBatch: configuration.batch.microBatch,
      microBatches: configuration.batch.microBatches)
    trainingStep = TrainingStep(
      configuration: configuration, communicator: communicator, engine: engine, loader: loader, data: data)
    validation = try Validation(
      configuration, loader: loader, communicator: communicator, checkedVocabularies: found.checkedVocabularies)
    validationObjection = try Validation.objection(configuration, validation)
    checkpoints = CheckpointTransfer(
      communicator: communicator, parameters: engine.parameters, optimizer: engine.optimizer, threads: threads)
    saver = try CheckpointSaver(
      checkpoints, communicator: communicator, asynchronous: writes && configuration.keepsSnapshot, compute: compute)
    copies = try Self.openCopies(directory, configuration, lease, communicator)
  }

  /// The node's cores, shared between its ranks; at most the cores that this rank is bound to.
  private static func defaultThreads() -> Int {
    max(1, min(ProcessorAffinity.allowedCores, ProcessorAffinity.onlineCores / LaunchEnvironment.current.localSize))
  }

  /// Writes the first step's gradients, before clipping, under their Hugging Face names, and leaves the weights alone:
  /// for comparing with another implementation. Collective; rank 0 writes.
  public func dumpGradients(to path: String) throws {
    _ = try restoreOrInitialize()
    _ = try trainingStep.gradients(batch: step)
    let gradients = try engine.optimizer.completeGradients()
    guard communicator.rank == 0 else { return }
    let tensors = engine.layout.tensors
    let writer = try SafetensorsWriter(
      file: path, tensors: tensors.map { SafetensorsWriter.Tensor(name: $0.name, shape: $0.shape, dtype: .float32) })
    for tensor in tensors {
      try writer.write(tensor.name, UnsafeBufferPointer(gradients.buffer[tensor.range].pointer))
    }
    try writer.finish()
  }
}
