import Batches
import Engine
import Kernels
import MPI
import Models
import Objectives
import Optimizers
import RunConfiguration
import Sharding

/// One rank's part of a model in training, which the variants of a step use in turn.
///
/// They share parameters, activations, exact sums and moments, so that they differ only in what is measured.
final class StepModel {
  let configuration: RunConfiguration
  let world: Communicator
  let engine: Engine
  private let parameterSharding = ExchangeableSharding()
  private let squares: Arena<Double>

  /// Collective.
  ///
  /// - Parameter expertDegree: ranks that share the experts of a layer.
  /// - Throws: `MPIError`.
  init(_ configuration: RunConfiguration, expertDegree: Int, world: Communicator, backend: Backend) throws {
    self.configuration = configuration
    self.world = world
    var options = try EngineOptions(configuration, ranks: world.size)
    options.expertDegree = expertDegree
    options.microBatches = world.size
    engine = try Engine(options, world: world, backend: backend, parameterSharding: parameterSharding)
    let layout = engine.layout
    squares = Arena(count: layout.count / ShardingPlan.blockSize + layout.tensors.count)
    layout.initialize(
      engine.parameters, ranges: engine.state.shards.filter { !$0.isEmpty }, configuration: configuration.model,
      seed: configuration.run.seed, backend: backend)
    try engine.state.gatherShards()
  }

  /// One optimizer step with one micro-batch a rank, as in `TrainingStep`; parameters that a variant has not gathered yet are
  /// gathered at the beginning, behind the forward pass, where the next step of a run would do it.
  ///
  /// - Parameter number: counted from 1.
  /// - Returns: the gradient's norm.
  /// - Throws: `MPIError`.
  func step(_ number: Int, _ batch: TokenBatch, _ variant: any StepVariant) throws -> Double {
    parameterSharding.current = variant.parameterSharding
    variant.begin()
    var targets = [Int64(batch.tokenCount)]
    try variant.combine(&targets)
    let objective = NormalizedObjective(LanguageModeling(), denominators: [LossDenominator(count: Int(targets[0]))])
    let result = try engine.decoder.train(
      batch, objective: objective, microBatches: world.size, accumulator: variant.sums)
    var sums = (result.losses ?? [0]) + [result.auxiliaryLoss ?? 0] + result.expertLoads.map { Int64($0) }
    let norm = try variant.gradientNorm()
    try variant.combine(&sums)
    variant.update(
      UpdateNumbers(
        step: number, gradientScale: GradientClipping.factor(norm: norm, maximum: configuration.clipNorm)))
    return norm
  }

  /// The sum of squares of this rank's shards of a gradient, `[parameters]`.
  ///
  /// - Parameter kernel: `Backend.sumsOfSquares` for these elements: a range, the size of a block, a sum for each block.
  func shardSumOfSquares<Element>(
    _ gradient: Buffer<Element>, kernel: (Buffer<Element>, Int, Buffer<Double>) -> Void
  ) -> Double {
    var blocks = 0
    for (_, part) in engine.layout.parts(of: engine.state.shards.filter { !$0.isEmpty }) {
      let count = (part.count + ShardingPlan.blockSize - 1) / ShardingPlan.blockSize
      kernel(gradient[part], ShardingPlan.blockSize, squares.buffer[blocks..<blocks + count])
      blocks += count
    }
    return squares.buffer.prefix(blocks).pointer.reduce(0, +)
  }
}
