import Datasets
import Kernels
import MPI
import Models
import Optimizers
import Parallelism
import Placement
import Settings

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
  /// False when a gradient was not finite or out of range: weights and moments stayed as they were.
  var isApplied: Bool
  /// Whether a rank was asked to stop.
  var stopRequested: Bool
  /// Tokens that went to each expert, `[sparse layers][experts]`.
  var expertLoads: [[Int]]
  /// How long a rank's computation waited for other ranks, seconds, mean over ranks.
  var exposedSeconds: Double
}

/// One optimizer step: micro-batches forward and backward, exact sums over ranks, norm, clipping, update.
final class TrainingStep {
  private let configuration: RunConfiguration
  private let communicator: Communicator
  private let decoder: Decoder
  private let accumulator: GradientAccumulator
  private let optimizer: ShardedOptimizer
  private let dispatcher: ExpertDispatcher?
  private let loader: BatchLoader
  private let data: TrainingData
  /// Who computes how much. Where ranks work in lockstep, layer by layer, because experts or parameters are spread over
  /// them, a slow one holds up every round that there is: fewer micro-batches for it would mean more rounds.
  private(set) var balance: SpeedBalance
  /// Updates so far: what Adam's bias correction counts.
  var updates = 0

  init(
    configuration: RunConfiguration, communicator: Communicator, decoder: Decoder, accumulator: GradientAccumulator,
    optimizer: ShardedOptimizer, dispatcher: ExpertDispatcher?, loader: BatchLoader, data: TrainingData
  ) {
    self.configuration = configuration
    self.communicator = communicator
    self.decoder = decoder
    self.accumulator = accumulator
    self.optimizer = optimizer
    self.dispatcher = dispatcher
    self.loader = loader
    self.data = data
    balance = SpeedBalance(
      microBatches: configuration.batch.microBatches, ranks: communicator.size,
      isAutomatic: configuration.parallelism.balance == .auto && dispatcher == nil
        && configuration.parallelism.sharding != .full)
  }

  private var exposedSeconds: Double { optimizer.state.exposedSeconds + (dispatcher?.exposedSeconds ?? 0) }

  /// - Parameters:
  ///   - step: counted from 1; with the seed it decides the data.
  ///   - stopRequested: whether this rank was asked to stop; told to all.
  /// - Throws: `MPIError`.
  func run(step: Int, stopRequested: Bool) throws -> StepOutcome {
    let exposedBefore = exposedSeconds
    var sums = try gradients(step: step)
    try optimizer.state.waitForSums()
    sums.stops = stopRequested ? 1 : 0
    sums.exposedMicroseconds = Int64((exposedSeconds - exposedBefore) * 1e6)
    try sums.reduce(over: communicator)
    balance.record(secondsPerMicroBatch: sums.secondsPerMicroBatch)

    let norm = try optimizer.gradientNorm()
    let learningRate = configuration.schedule.learningRate(step: step)
    let isApplied = sums.refusals == 0 && norm.isFinite
    if isApplied {
      updates += 1
      optimizer.update(
        step: updates, learningRate: learningRate,
        gradientScale: GradientClipping.factor(norm: norm, maximum: configuration.clipNorm))
      optimizer.updateSelectionBiases(
        loads: sums.expertLoads, rate: configuration.model.experts?.biasUpdateRate ?? 0)
      optimizer.state.gatherUpdated()
    }
    return StepOutcome(
      loss: LossFixedPoint.decode(sums.loss) / Double(max(1, sums.targets)),
      auxiliaryLoss: configuration.model.experts == nil
        ? nil : LossFixedPoint.decode(sums.auxiliaryLoss) / Double(configuration.batch.microBatches),
      gradientNorm: isApplied ? norm : .nan, learningRate: learningRate, targets: Int(sums.targets),
      isApplied: isApplied, stopRequested: sums.stops > 0, expertLoads: sums.expertLoads,
      exposedSeconds: Double(sums.exposedMicroseconds) / 1e6 / Double(communicator.size))
  }

  /// The exact gradient sums of a step, complete in this rank's shards when `ShardedState.waitForSums` has returned.
  ///
  /// Ranks compute in rounds, each with its next micro-batch or without one.
  func gradients(step: Int) throws -> StepSums {
    let state = optimizer.state
    accumulator.reset(state.kept, compute: decoder.compute)
    var sums = StepSums(decoder.configuration, rank: communicator.rank, ranks: communicator.size)
    let batches = loader.load(
      first: (step - 1) * configuration.batch.sequences, count: configuration.batch.sequences, dealing: balance.dealing,
      read: { data.read(sequence: $0, tokens: $1, documentStarts: $2) })
    // The loss is a mean over the global batch's targets, so their number must be known before the first backward pass.
    let targets = try communicator.allReduce(Int64(batches.reduce(0) { $0 + $1.targetCount }), .sum)
    for (index, batch) in batches.enumerated() {
      state.beginRound(training: true, last: index == batches.count - 1)
      let (started, exposed) = (ContinuousClock.now, exposedSeconds)
      let result = try decoder.train(
        batch, lossScale: 1 / Float(max(1, targets)), microBatchScale: 1 / Float(configuration.batch.microBatches),
        accumulator: accumulator)
      sums.add(result, decoder)
      if batch.tokenCount > 0 {
        sums.add(seconds: (ContinuousClock.now - started) / .seconds(1) - (exposedSeconds - exposed))
      }
    }
    if accumulator.hasRefused { sums.refusals += 1 }
    return sums
  }
}
