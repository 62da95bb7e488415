import Batches
import ConfigurationFiles
import Engine
import Foundation
import Kernels
import MPI
import Models
import Objectives
import Optimizers
import Sharding

/// Trains a tiny mixture of experts on one rank and on two, with expert parallelism and sharded optimizer state, and compares the
/// bits.
///
/// Ranks are threads of this process here (`InProcessRanks`). `Launcher.run` gives a `Communicator` of MPI's ranks instead, and the rest
/// is the same.
@main
struct TrainOnTwoRanks {
  static let model = """
    { model_type: mixtral, vocab_size: 64, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2,
      num_attention_heads: 4, num_key_value_heads: 2, num_local_experts: 4, num_experts_per_tok: 2,
      max_position_embeddings: 64 }
    """
  static let (microBatches, sequences, length) = (4, 2, 32)
  static let steps = 5

  static func main() throws {
    let one = try train(ranks: 1)
    let two = try train(ranks: 2)
    for (step, loss) in one.enumerated() {
      print("step \(step + 1): loss \(loss) on 1 rank, \(two[step]) on 2")
    }
    guard one.map(\.bitPattern) == two.map(\.bitPattern) else {
      print("the losses differ")
      exit(1)
    }
    print("the same bits")
  }

  /// - Returns: the loss of each step, nats a token, on which all ranks agree.
  static func train(ranks: Int) throws -> [Double] {
    try InProcessRanks.run(ranks: ranks) { world in try train(world) }[0]
  }

  static func train(_ world: Communicator) throws -> [Double] {
    let configuration = try ModelConfiguration(
      huggingFace: ConfigurationSection(ConfigurationNode.parse(model, source: "the example's model")))
    let engine = try Engine(
      EngineOptions(
        model: configuration, sequences: sequences, length: length, microBatches: microBatches,
        optimizer: OptimizerSettings(
          adamW: AdamW.Settings(beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1)),
        sharding: .optimizer, expertDegree: world.size),
      world: world, backend: Backend(threads: 1))
    // A rank fills its shards, and gathers them on all ranks that compute with them.
    engine.layout.initialize(
      engine.parameters, ranges: engine.state.shards.filter { !$0.isEmpty }, configuration: configuration, seed: 1,
      backend: engine.backend)
    try engine.state.gatherShards()
    let losses = try (1...steps).map { try step($0, engine, world) }
    // The last update's parameters are still being gathered.
    try engine.state.waitForParameters()
    return losses
  }

  /// A step as in the trainer, without overflow checks, straggler balancing and records.
  static func step(_ number: Int, _ engine: Engine, _ world: Communicator) throws -> Double {
    let all = (0..<microBatches).map { batch(seed: number * microBatches + $0) }
    let dealing = MicroBatchAssignment(microBatches: microBatches, ranks: world.size)
    let mine = dealing.microBatches(of: world.rank).map { all[$0] }
    // The denominator is the global batch's. Here every rank has it whole; a trainer sums over its ranks.
    let objective = NormalizedObjective(LanguageModeling(), of: all)
    var sum: Int64 = 0
    try engine.forwardBackward(mine, objective: objective) { _, result, _ in sum += result.losses?[0] ?? 0 }
    try engine.finishGradients()
    let loss = objective.loss(ofSums: [try world.allReduce(sum, .sum)])
    let norm = try engine.gradientNorm()
    engine.update(
      step: number, learningRate: 0.01, gradientScale: GradientClipping.factor(norm: norm, maximum: 1), expertLoads: [])
    return loss
  }

  /// Counting up from a start of each sequence's own, which can be learnt.
  static func batch(seed: Int) -> TokenBatch {
    let batch = TokenBatch(sequences: sequences, length: length)
    for sequence in 0..<sequences {
      let first = (seed * sequences + sequence) * 13
      batch.set(sequence: sequence, tokens: (0...length).map { Int32((first + $0) % 64) })
    }
    return batch
  }
}
