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

/// What a step did, the same on every rank.
struct StepOutcome {
  /// Mean over the target tokens of the global batch, nats.
  var loss: Double
  /// The balancing losses, mean over micro-batches; nil for a dense model.
  var auxiliaryLoss: Double?
  /// Before clipping; NaN when the step was skipped.
  var gradientNorm: Double
  var learningRate: Double
  var targets: Int
  /// Of the stream; a multiple of the batch's size.
  var firstSequence: Int
  /// SHA-256 of the global batch, hexadecimal.
  var batchDigest: String
  /// Why the update was left out, in words; nil when it was made.
  var skipReason: String?
  /// False when weights and moments stayed as they were.
  var isApplied: Bool { skipReason == nil }
  /// Whether a rank was asked to stop.
  var stopRequested: Bool
  /// Whether rank 0 wants a checkpoint beyond those that are due.
  var saveRequested: Bool
  /// Tokens that went to each expert, `[sparse layers][experts]`.
  var expertLoads: [[Int]]
  /// How long a rank's computation waited for other ranks, seconds, mean over ranks.
  var exposedCommunicationSeconds: Double
}

/// One optimizer step: micro-batches forward and backward, exact sums over ranks, norm, clipping, update.
final class TrainingStep {
  private let configuration: RunConfiguration
  private let engine: Engine
  private let loader: BatchLoader
  private let data: TrainingData
  /// Who computes how much. Where ranks work in lockstep, layer by layer, because experts or parameters are spread over
  /// them, a slow one holds up every round that there is: fewer micro-batches for it would mean more rounds.
  private(set) var balance: StragglerBalancer
  private let replicas: SilentDataCorruptionCheck
  /// The last step after which all copies of the parameters were found equal, or that the run began with.
  private(set) var comparedStep = 0
  /// What the next steps depend on besides parameters and moments.
  var progress: Progress

  /// What a checkpoint keeps of the steps done.
  struct Progress {
    /// Updates so far: what Adam's bias correction counts.
    var updates = 0
    var spikes: LossSpikeDetector
    /// Steps done when the data stream began: 0, or where the run branched off.
    var streamStart = 0
    /// Batches of the stream, in ascending order, that a rollback has taken out of it.
    var skippedBatches: [Int] = []

    /// The place in the stream of a step's batch.
    func batch(ofStep step: Int) -> Int {
      skippedBatches.reduce(step - 1 - streamStart) { batch, skipped in skipped <= batch ? batch + 1 : batch }
    }
  }

  /// What a rank would like the others to know.
  struct StepRequests {
    var stop = false
    var save = false
  }

  /// Memory that has changed by itself; nothing was updated.
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

  /// Must be called before the first step, and after parameters were changed by anything but a step.
  ///
  /// - Parameter step: the step that they belong to, when they were read anew.
  func parametersChanged(to step: Int? = nil) {
    if let step { comparedStep = step }
    if configuration.run.compareReplicas > 0 { replicas.remember() }
  }

  private func comparesReplicas(before step: Int) -> Bool {
    configuration.run.compareReplicas > 0 && step % configuration.run.compareReplicas == 0
  }

  /// - Parameters:
  ///   - step: counted from 1; with the seed it decides the data.
  ///   - batch: the place in the stream of the data; nil for the step's own.
  ///   - wishes: of this rank; told to all.
  /// - Throws: `CorruptReplicas` on all ranks, with weights and moments as they were; `MPIError`.
  func run(step: Int, batch: Int? = nil, wishes: StepRequests) throws -> StepOutcome {
    let exposedBefore = engine.exposedCommunicationSeconds
    let batch = batch ?? progress.batch(ofStep: step)
    var (sums, objective) = try gradients(batch: batch)
    try engine.finishGradients()
    sums.stops = wishes.stop ? 1 : 0
    sums.saves = wishes.save ? 1 : 0
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

  /// The exact gradient sums of a step, complete in this rank's shards when `Engine.finishGradients` has returned.
  ///
  /// Ranks compute in rounds, each with its next micro-batch or without one.
  ///
  /// - Parameter batch: the place in the stream of the global batch.
  /// - Returns: what this rank's micro-batches add up to, and the objective with the denominators of the global batch.
  func gradients(batch: Int) throws -> (StepReduction, NormalizedObjective) {
    let microBatches = balance.dealing.microBatches(of: engine.mesh.batch.rank)
    let first = batch * configuration.batch.sequences
    let all = loader.microBatches(of: first..<first + configuration.batch.sequences)
    let batches = loader.load(
      microBatches.map { all[$0] }, microSteps: balance.dealing.microSteps,
      read: { data.read($0, into: $1, sequence: $2) })
    // Denominators are those of the global batch, so they must be known before the first backward pass.
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
