import Datasets
import Engine
import Kernels
import MPI
import Models
import Objectives
import Optimizers
import Parallelism
import RunConfiguration
import Sharding

/// The outcome of a step, the same on every rank.
struct StepOutcome {
  /// The mean loss over the target tokens of the global batch, nats.
  var loss: Double
  /// The auxiliary load-balancing losses, mean over micro-batches; nil for a dense model.
  var auxiliaryLoss: Double?
  /// The gradient norm before clipping; NaN when the step was skipped.
  var gradientNorm: Double
  var learningRate: Double
  var targets: Int
  /// The index in the data stream of the batch's first sequence; a multiple of the batch size.
  var firstSequence: Int
  /// SHA-256 of the global batch, hexadecimal.
  var batchDigest: String
  /// Why the update was skipped, as text; nil when it was applied.
  var skipReason: String?
  /// Whether weights and moments were updated.
  var isApplied: Bool { skipReason == nil }
  /// Whether any rank received a stop request.
  var stopRequested: Bool
  /// Whether any rank requested a checkpoint, to retry a failed save.
  var saveRequested: Bool
  /// Tokens per expert, `[sparse layers][experts]`.
  var expertLoads: [[Int]]
  /// Exposed communication, seconds, mean over ranks.
  var exposedCommunicationSeconds: Double
}

/// One optimizer step: micro-batches forward and backward, exact sums over ranks, norm, clipping, update.
final class TrainingStep {
  private let configuration: RunConfiguration
  private let engine: Engine
  private let loader: BatchLoader
  private let data: TrainingData
  /// Assigns micro-batches to ranks. Only evenly where ranks synchronise in every layer, because experts or parameters
  /// are sharded over them: fewer micro-batches for a slow rank would only mean more micro-steps.
  private(set) var balance: StragglerBalancer
  private let replicas: SilentDataCorruptionCheck
  /// The last step after which all replicas were found equal, or the restored step.
  private(set) var comparedStep = 0
  /// The state besides parameters and moments that later steps depend on.
  var progress: Progress

  /// Progress of a run, as saved in checkpoints.
  struct Progress {
    /// The number of updates applied, for Adam's bias correction.
    var updates = 0
    var spikes: LossSpikeDetector
    /// The step at which the data stream starts: 0, or the branch point.
    var streamStart = 0
    /// Batches of the stream that rollbacks have skipped, ascending.
    var skippedBatches: [Int] = []

    /// The index in the stream of a step's batch.
    func batch(ofStep step: Int) -> Int {
      skippedBatches.reduce(step - 1 - streamStart) { batch, skipped in skipped <= batch ? batch + 1 : batch }
    }
  }

  /// A rank's requests, which the step's all-reduce combines.
  struct StepRequests {
    var stop = false
    var save = false
  }

  /// Silent data corruption of parameters; nothing was updated.
  struct CorruptReplicas: Error {
    var damage: SilentDataCorruptionCheck.Damage
  }

  init(configuration: RunConfiguration, engine: Engine, loader: BatchLoader, data: TrainingData) {
    self.configuration = configuration
    self.engine = engine
    self.loader = loader
    self.data = data
    replicas = SilentDataCorruptionCheck(state: engine.state, parameters: engine.parameters, backend: engine.backend)
    progress = Progress(spikes: LossSpikeDetector(configuration.spikes))
    balance = StragglerBalancer(
      microBatches: configuration.batch.microBatches, ranks: engine.mesh.batch.size,
      isAutomatic: configuration.parallelism.balance == .auto && engine.dispatcher == nil
        && configuration.parallelism.sharding != .full)
  }

  /// Must be called before the first step, and after parameters were changed other than by a step.
  ///
  /// - Parameter step: the restored step; nil when parameters were not restored.
  func parametersChanged(to step: Int? = nil) {
    if let step { comparedStep = step }
    if configuration.run.compareReplicas > 0 { replicas.remember() }
  }

  private func comparesReplicas(before step: Int) -> Bool {
    configuration.run.compareReplicas > 0 && step % configuration.run.compareReplicas == 0
  }

  /// Runs a step. Collective.
  ///
  /// - Parameters:
  ///   - step: counted from 1; with the seed it determines the data.
  ///   - batch: the index in the data stream; nil for the step's own.
  ///   - requests: the requests of this rank.
  /// - Throws: `CorruptReplicas` on all ranks, without an update; `MPIError`.
  func run(step: Int, batch: Int? = nil, requests: StepRequests) throws -> StepOutcome {
    let exposedBefore = engine.exposedCommunicationSeconds
    let batch = batch ?? progress.batch(ofStep: step)
    var (sums, objective) = try gradients(batch: batch)
    try engine.finishGradients()
    sums.stops = requests.stop ? 1 : 0
    sums.saves = requests.save ? 1 : 0
    sums.exposedCommunicationMicroseconds = Int64((engine.exposedCommunicationSeconds - exposedBefore) * 1e6)
    try sums.reduce(over: engine.mesh)
    balance.record(secondsPerMicroBatch: sums.secondsPerMicroBatch)
    if comparesReplicas(before: step) {
      try engine.state.waitForParameters()
      if let damage = try replicas.compare() { throw CorruptReplicas(damage: damage) }
      comparedStep = step - 1
    }

    let norm = try engine.gradientNorm()
    let loss = objective.loss(ofSums: sums.losses)
    let learningRate = configuration.schedule.learningRate(step: step)
    let skipReason = progress.spikes.skipReason(loss: loss, gradientNorm: norm, overflowCount: sums.overflowCount)
    if skipReason == nil {
      progress.updates += 1
      progress.spikes.accept(loss: loss)
      engine.update(
        step: progress.updates, learningRate: learningRate,
        gradientScale: GradientClipping.factor(norm: norm, maximum: configuration.clipNorm),
        expertLoads: sums.expertLoads)
    }
    if comparesReplicas(before: step + 1) { replicas.remember() }
    return StepOutcome(
      loss: loss,
      auxiliaryLoss: configuration.model.experts == nil
        ? nil : LossFixedPoint.decode(sums.auxiliaryLoss) / Double(configuration.batch.microBatches),
      gradientNorm: skipReason == nil ? norm : .nan, learningRate: learningRate,
      targets: Int(objective.denominators[0].count),
      firstSequence: batch * configuration.batch.sequences, batchDigest: sums.digests.batch.hexadecimal,
      skipReason: skipReason, stopRequested: sums.stops > 0,
      saveRequested: sums.saves > 0, expertLoads: sums.expertLoads,
      exposedCommunicationSeconds: Double(sums.exposedCommunicationMicroseconds) / 1e6 / Double(engine.mesh.world.size))
  }

  /// Computes the exact gradient sums of a step, which are complete in this rank's shards after
  /// `Engine.finishGradients`.
  ///
  /// Ranks compute in micro-steps, each with its next micro-batch or without one.
  ///
  /// - Parameter batch: the index in the stream of the global batch.
  /// - Returns: the sums of this rank's micro-batches, and the objective with the denominators of the global batch.
  func gradients(batch: Int) throws -> (StepReduction, NormalizedObjective) {
    let microBatches = balance.assignment.microBatches(of: engine.mesh.batch.rank)
    let first = batch * configuration.batch.sequences
    let all = loader.microBatches(of: first..<first + configuration.batch.sequences)
    let batches = loader.load(
      microBatches.map { all[$0] }, microSteps: balance.assignment.microSteps,
      read: { data.read($0, into: $1, sequence: $2) })
    // The global batch's denominators are needed before the first backward pass.
    let objective = try NormalizedObjective(
      LanguageModeling(), of: batches, microBatches: configuration.batch.microBatches, over: engine.mesh.batch)
    var sums = StepReduction(
      configuration.model, objective, mesh: engine.mesh, sequences: configuration.batch.sequences)
    for (place, batch) in zip(microBatches, batches) {
      sums.digests.add(batch, first: place * configuration.batch.microBatch)
    }
    try engine.forwardBackward(batches, objective: objective) { batch, result, seconds in
      sums.add(result)
      if batch.tokenCount > 0 { sums.add(seconds: seconds) }
    }
    if engine.hasOverflowed { sums.overflowCount += 1 }
    return (sums, objective)
  }
}
