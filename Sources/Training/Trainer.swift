import Checkpoints
import Datasets
import Diagnostics
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
  let decoder: Decoder
  let parameters: Arena<Float>
  let optimizer: ShardedOptimizer
  let trainingStep: TrainingStep
  let validation: Validation?
  let checkpoints: CheckpointTransfer
  let memory: MemoryPlan
  /// Bytes that the process had before anything was laid out: program and libraries.
  let baselineBytes: Int
  let reporter: RunReporter
  /// Steps done.
  private(set) var step = 0
  private var savedStep: Int?
  /// A checkpoint that this process has read back.
  private var verifiedStep: Int?

  /// The main loop.
  ///
  /// - Returns: the process's exit code: 0 when the run is complete, 75 when it was asked to stop and can be continued.
  /// - Throws: `ForgeError`, `MPIError`.
  public func run() throws -> Int32 {
    try restoreOrInitialize()
    try reporter.begin(self)
    while step < configuration.run.steps {
      let started = ContinuousClock.now
      let outcome = try trainingStep.run(step: step + 1, stopRequested: StopSignals.requested)
      step += 1
      let seconds = (ContinuousClock.now - started) / .seconds(1)
      let validationLoss =
        isDue(configuration.validation.every) ? try validation?.loss(decoder, optimizer.state) : nil
      try reporter.record(step: step, outcome, seconds: seconds, validationLoss: validationLoss)
      reporter.tell(trainingStep.balance)
      if outcome.stopRequested, step < configuration.run.steps {
        try save()
        reporter.stopped(step: step)
        return ForgeError.Kind.tryAgain.exitCode
      }
      if isDue(configuration.checkpoint.every) { try saveIfPossible() }
    }
    if savedStep != step { try save() }
    try reporter.end(self)
    return 0
  }

  /// Every so many steps, and at the end; never for 0.
  private func isDue(_ interval: Int) -> Bool {
    interval > 0 && (step % interval == 0 || step == configuration.run.steps)
  }

  /// - Parameter communicator: all ranks of the run.
  /// - Throws: `ForgeError.badInput` for data, weights or a run directory that cannot be used.
  public init(_ configuration: RunConfiguration, communicator: Communicator) throws {
    StopSignals.install()
    self.configuration = configuration
    self.communicator = communicator
    directory = RunDirectory(path: configuration.run.directory)
    try Agreement.check(configuration, communicator)
    let threads = configuration.run.threads ?? Self.defaultThreads()
    let roomWarning = ProcessorAffinity.makeRoom(forThreads: threads)
    let (rank, ranks) = (communicator.rank, communicator.size)

    let model = configuration.model
    let settings = configuration.data
    let data = try TrainingData(
      sources: settings.train, sequenceLength: settings.sequenceLength, shuffle: settings.shuffle,
      documentMask: settings.documentMask, seed: configuration.run.seed, vocabularySize: model.vocabularySize,
      checkingPart: rank, of: ranks)
    if rank == 0 { try directory.open() }
    try communicator.barrier()

    baselineBytes = ResidentMemory.bytes()
    let compute = Compute(threads: threads)
    let layout = ParameterLayout(model)
    let experts = ExpertPlacement(
      experts: layout.expertCount, ranks: ranks, degree: try configuration.expertDegree(ranks: ranks))
    let placement = StatePlacement(
      layout: layout, experts: experts, sharding: configuration.parallelism.sharding,
      wholeMatrices: configuration.needsWholeMatrices)
    guard layout.pieces.indices.allSatisfy({ placement.computed(piece: $0, by: rank).count <= Int(Int32.max) }) else {
      throw ForgeError.badInput(
        "a rank's part of one layer has more than 2,147,483,647 parameters, which one exchange cannot carry; use a "
          + "larger parallelism.expert, or a number of ranks that has one as a divisor")
    }
    memory = MemoryPlan(configuration, placement: placement, rank: rank, threads: threads)
    let mesh = try ProcessMesh(world: communicator, expert: experts.degree)
    let dispatcher = experts.degree > 1 ? try ExpertDispatcher(experts, group: mesh[.expert]) : nil
    parameters = Arena(count: layout.count, hugePages: placement.usesHugePages)
    let accumulator = GradientAccumulator(
      count: layout.count, microBatches: configuration.batch.microBatches, hugePages: placement.usesHugePages)
    let state = try ShardedState(
      placement: placement, mesh: mesh, parameters: parameters, gradient: accumulator.memory)
    decoder = Decoder(
      model, parameters: parameters.buffer, sequences: configuration.batch.microBatch, length: settings.sequenceLength,
      training: true, residence: state, dispatcher: dispatcher, compute: compute)
    optimizer = ShardedOptimizer(
      settings: configuration.optimizer, tensors: configuration.optimizedTensors(layout), state: state,
      sums: accumulator.sums, parameters: parameters.buffer, communicator: communicator, compute: compute)
    let loader = BatchLoader(sequenceLength: settings.sequenceLength, batch: configuration.batch, rank: rank)
    trainingStep = TrainingStep(
      configuration: configuration, communicator: communicator, decoder: decoder, accumulator: accumulator,
      optimizer: optimizer, dispatcher: dispatcher, loader: loader, data: data)
    validation = try Validation(configuration, loader: loader, communicator: communicator)
    checkpoints = CheckpointTransfer(
      communicator: communicator, parameters: parameters.buffer, optimizer: optimizer, threads: threads)
    reporter = RunReporter(configuration, directory: directory, isLeader: rank == 0, warning: roomWarning)
  }

  /// The node's cores, shared between its ranks; at most the cores that this rank is bound to.
  private static func defaultThreads() -> Int {
    max(1, min(ProcessorAffinity.allowedCores, ProcessorAffinity.onlineCores / LaunchEnvironment.current.localSize))
  }

  // MARK: State

  /// Continues from the newest sound checkpoint of the run directory, or starts from a pretrained model or at random.
  private func restoreOrInitialize() throws {
    if try restore() { return }
    // Every rank reads or computes what it owns; the rest comes from the other ranks.
    let owned = optimizer.state.owned.filter { !$0.isEmpty }
    try communicator.together {
      if let folder = configuration.pretrained {
        try PretrainedModel(path: folder).load(
          into: parameters.buffer, ranges: owned, threads: decoder.compute.team.count)
      } else {
        decoder.layout.initialize(
          parameters.buffer, ranges: owned, configuration: configuration.model, seed: configuration.run.seed,
          compute: decoder.compute)
      }
    }
    try optimizer.state.gatherOwned()
  }

  /// Reads the newest checkpoint of which every chunk is sound; a damaged one is named and the one before it tried.
  ///
  /// - Returns: false when there is no checkpoint.
  /// - Throws: `ForgeError.badInput` when all are damaged, or when the run was started with other settings.
  private func restore() throws -> Bool {
    let folder = directory.checkpoints
    let candidates = try communicator.broadcast(folder.steps().flatMap { withUnsafeBytes(of: $0, Array.init) }, root: 0)
    let steps = candidates.withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count, by: 8).map { bytes.loadUnaligned(fromByteOffset: $0, as: Int.self) }
    }
    for candidate in steps.reversed() {
      let reader: CheckpointReader
      do {
        reader = try communicator.together { try CheckpointReader(path: folder.path(step: candidate)) }
      } catch let damage as ForgeError where damage.kind == .badInput {
        reporter.note("skipping a damaged checkpoint: \(damage)")
        continue
      }
      let record = try RunRecord(reader, continuing: configuration)
      do { try checkpoints.load(reader) } catch let damage as ForgeError where damage.kind == .badInput {
        reporter.note("skipping a damaged checkpoint: \(damage)")
        continue
      }
      trainingStep.updates = record.updates
      step = candidate
      (savedStep, verifiedStep) = (candidate, candidate)
      return true
    }
    guard steps.isEmpty else {
      throw ForgeError.badInput(
        "none of the \(steps.count) checkpoints in '\(folder.path)' is sound; remove the folder to start the run anew")
    }
    return false
  }

  private func save() throws {
    try optimizer.state.waitForParameters()
    try communicator.together { try reporter.synchronize() }  // only rank 0 has files, but all must learn of a failure
    let started = ContinuousClock.now
    let record = RunRecord(updates: trainingStep.updates, configuration: configuration)
    try checkpoints.save(
      step: step, in: directory.checkpoints, level: configuration.checkpoint.level, metadata: record.metadata)
    savedStep = step
    reporter.saved(step: step, seconds: (ContinuousClock.now - started) / .seconds(1))
    if communicator.rank == 0 { prune() }
  }

  /// Deletes old checkpoints; failing to is no reason to stop.
  private func prune() {
    do {
      verifiedStep = try directory.checkpoints.prune(
        keepLast: configuration.checkpoint.keepLast, keepEvery: configuration.checkpoint.keepEvery,
        verified: verifiedStep, threads: decoder.compute.team.count,
        report: { reporter.note("a kept checkpoint is damaged: \($0)") })
    } catch {
      reporter.note("old checkpoints were not deleted: \(error)")
    }
  }

  /// A checkpoint on the way. One that cannot be written, on a full disk for example, is told and the run goes on: the
  /// ones before it are intact, and the next one may succeed.
  private func saveIfPossible() throws {
    do { try save() } catch let failure as ForgeError where failure.kind == .tryAgain {
      if communicator.rank == 0 { try? directory.checkpoints.recover() }  // gives a full disk its room back
      reporter.note("step \(step): no checkpoint was saved, training goes on: \(failure)")
    }
  }

  /// Writes the first step's gradients, before clipping, under their Hugging Face names, and leaves the weights alone:
  /// for comparing with another implementation. Collective; rank 0 writes.
  public func dumpGradients(to path: String) throws {
    try restoreOrInitialize()
    _ = try trainingStep.gradients(step: step + 1)
    let gradients = try optimizer.completeGradients()
    guard communicator.rank == 0 else { return }
    let tensors = decoder.layout.tensors
    let writer = try SafetensorsWriter(
      file: path, tensors: tensors.map { SafetensorsWriter.Tensor(name: $0.name, shape: $0.shape, dtype: .float32) })
    for tensor in tensors {
      try writer.write(tensor.name, UnsafeBufferPointer(gradients.buffer[tensor.range].pointer))
    }
    try writer.finish()
  }
}
