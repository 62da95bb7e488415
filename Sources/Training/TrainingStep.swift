import Datasets
import Kernels
import MPI
import Models
import Optimizers
import Parallelism

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
  /// Largest over mean load of an expert, worst layer; nil for a dense model.
  var expertImbalance: Double?
}

/// One optimizer step: micro-batches forward and backward, exact sums over ranks, norm, clipping, update.
final class TrainingStep {
  private let configuration: RunConfiguration
  private let communicator: Communicator
  private let decoder: Decoder
  private let accumulator: GradientAccumulator
  private let optimizer: ShardedAdamW
  private let loader: BatchLoader
  private let data: TrainingData
  /// Updates so far: what Adam's bias correction counts.
  var updates = 0

  init(
    configuration: RunConfiguration, communicator: Communicator, decoder: Decoder, accumulator: GradientAccumulator,
    optimizer: ShardedAdamW, loader: BatchLoader, data: TrainingData
  ) {
    self.configuration = configuration
    self.communicator = communicator
    self.decoder = decoder
    self.accumulator = accumulator
    self.optimizer = optimizer
    self.loader = loader
    self.data = data
  }

  /// - Parameters:
  ///   - step: counted from 1; with the seed it decides the data.
  ///   - stopRequested: whether this rank was asked to stop; told to all.
  /// - Throws: `MPIError`.
  func run(step: Int, stopRequested: Bool) throws -> StepOutcome {
    var sums = try gradients(step: step)
    try optimizer.reducer.wait()
    sums.stops = stopRequested ? 1 : 0
    try sums.reduce(over: communicator)

    let norm = try optimizer.gradientNorm()
    let learningRate = configuration.schedule.learningRate(step: step)
    let isApplied = sums.refusals == 0 && norm.isFinite
    if isApplied {
      updates += 1
      try optimizer.update(
        step: updates, learningRate: learningRate,
        gradientScale: GradientClipping.factor(norm: norm, maximum: configuration.clipNorm))
    }
    return StepOutcome(
      loss: LossFixedPoint.decode(sums.loss) / Double(max(1, sums.targets)),
      auxiliaryLoss: configuration.model.experts == nil
        ? nil : LossFixedPoint.decode(sums.auxiliaryLoss) / Double(configuration.batch.microBatches),
      gradientNorm: isApplied ? norm : .nan, learningRate: learningRate, targets: Int(sums.targets),
      isApplied: isApplied,
      stopRequested: sums.stops > 0, expertImbalance: sums.imbalance)
  }

  /// The exact gradient sums of a step, complete in this rank's shards when `reducer.wait()` has returned.
  func gradients(step: Int) throws -> StepSums {
    let layout = decoder.layout
    let reducer = optimizer.reducer
    accumulator.reset()
    var sums = StepSums(decoder.configuration)
    let batches = loader.load(
      first: (step - 1) * configuration.batch.sequences, count: configuration.batch.sequences,
      read: { data.read(sequence: $0, tokens: $1, documentStarts: $2) })
    // The loss is a mean over the global batch's targets, so their number must be known before the first backward pass.
    let targets = try communicator.allReduce(Int64(batches.reduce(0) { $0 + $1.targetCount }), .sum)
    for (index, batch) in batches.enumerated() {
      let result = try decoder.train(
        batch, lossScale: 1 / Float(max(1, targets)), microBatchScale: 1 / Float(configuration.batch.microBatches),
        accumulator: accumulator, pieceNeeded: { try reducer.waitGather(piece: $0) },
        pieceFinished: { if index == batches.count - 1 { reducer.submit(piece: $0) } })
      sums.add(result, decoder)
    }
    if batches.isEmpty {
      // A rank without a micro-batch joins the sums with zeros, piece by piece in the order of a backward pass.
      for piece in layout.pieces.indices { try reducer.waitGather(piece: piece) }
      for piece in layout.pieces.indices.reversed() { reducer.submit(piece: piece) }
    }
    if accumulator.hasRefused { sums.refusals += 1 }
    return sums
  }
}

/// What is summed over a step's micro-batches and ranks. Integers throughout, so that order does not matter.
struct StepSums {
  var loss: Int64 = 0
  var auxiliaryLoss: Int64 = 0
  var targets: Int64 = 0
  var refusals: Int64 = 0
  var stops: Int64 = 0
  /// Tokens per expert, `[sparse layers, experts]`.
  private var loads: [Int64]
  private let experts: Int

  init(_ configuration: ModelConfiguration) {
    experts = configuration.experts?.count ?? 0
    loads = Array(repeating: 0, count: experts * configuration.sparseLayerCount)
  }

  mutating func add(_ result: MicroBatchResult, _ decoder: Decoder) {
    targets += Int64(result.targets)
    if let loss = result.loss, let auxiliary = result.auxiliaryLoss {
      self.loss += loss
      auxiliaryLoss += auxiliary
    } else {
      refusals += 1
    }
    var place = 0
    for layer in 0..<decoder.configuration.layers {
      for load in decoder.expertLoads(layer: layer) {
        loads[place] += Int64(load)
        place += 1
      }
    }
  }

  mutating func reduce(over communicator: Communicator) throws {
    var values = [loss, auxiliaryLoss, targets, refusals, stops] + loads
    try values.withUnsafeMutableBufferPointer { try communicator.allReduce(arena: $0, .sum) }
    (loss, auxiliaryLoss, targets, refusals, stops) = (values[0], values[1], values[2], values[3], values[4])
    loads = Array(values[5...])
  }

  /// Largest over mean load of an expert, in the layer where it is worst.
  var imbalance: Double? {
    guard experts > 0, !loads.isEmpty else { return nil }
    return stride(from: 0, to: loads.count, by: experts).map { start in
      let layer = loads[start..<start + experts]
      return Double(layer.max() ?? 0) * Double(experts) / Double(max(1, layer.reduce(0, +)))
    }.max()
  }
}
