import Batches
import ConfigurationFiles
import Engine
import Kernels
import MPI
import Models
import Objectives
import Optimizers
import Parallelism
import Sharding
import Testing

/// A parallel layout of a job, which must not change a bit of the results.
struct JobLayout: Sendable, CustomTestStringConvertible {
  var ranks: Int
  /// Ranks that share the experts of a layer.
  var degree = 1
  var sharding = ZeROStage.none
  var recompute = Recomputation.none
  var matrixBackend = MatrixBackend.openblas

  var testDescription: String {
    "\(ranks) ranks, degree \(degree), \(sharding), recompute \(recompute), \(matrixBackend)"
  }

  /// At 1 to 4 ranks, every degree that divides them, and every ZeRO stage.
  static func all(degrees: ClosedRange<Int> = 1...4) -> [JobLayout] {
    (1...4).flatMap { ranks in
      degrees.filter { ranks % $0 == 0 }.flatMap { degree in
        ZeROStage.allCases.map { JobLayout(ranks: ranks, degree: degree, sharding: $0) }
      }
    }
  }
}

/// The smallest models whose tensors are sharded between ranks, each with an optimizer.
enum TinyModel: String, Sendable, CaseIterable {
  /// Tied embeddings; AdamW.
  case dense
  /// Two sparse layers around a dense one, with more experts than divide evenly over three ranks; AdamW.
  case sparse
  /// Sigmoid routing by groups with expert biases, and a shared expert; Muon for matrices, AdamW for the rest.
  case biased
  /// Whole-projection QK-norm and clamping, experts in every layer; AdamW.
  case bounded
  /// Queries scaled by their position, from the fourth token of a document on; AdamW.
  case scaled
  /// Biases on queries, keys and values; AdamW.
  case shifted

  func configuration() throws -> ModelConfiguration {
    let common = "max_position_embeddings: 64, num_attention_heads: 2, num_key_value_heads: 1, initializer_range: 0.3"
    let text =
      switch self {
      case .dense:
        """
        { model_type: qwen3, vocab_size: 1100, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2, head_dim: 8,
          tie_word_embeddings: true, \(common) }
        """
      case .sparse:
        """
        { model_type: qwen3_moe, vocab_size: 60, hidden_size: 16, intermediate_size: 24, moe_intermediate_size: 12,
          num_hidden_layers: 3, num_experts: 4, num_experts_per_tok: 2, mlp_only_layers: [1],
          router_aux_loss_coef: 0.02, \(common) }
        """
      case .biased:
        """
        { model_type: dots1, vocab_size: 60, hidden_size: 16, intermediate_size: 24, moe_intermediate_size: 12,
          num_hidden_layers: 2, n_routed_experts: 8, num_experts_per_tok: 3, n_shared_experts: 1, n_group: 4,
          topk_group: 2, first_k_dense_replace: 1, norm_topk_prob: true, routed_scaling_factor: 1.5,
          router_bias_update_rate: 0.01, \(common) }
        """
      case .bounded:
        """
        { model_type: olmoe, vocab_size: 60, hidden_size: 16, intermediate_size: 12, num_hidden_layers: 2,
          num_experts: 4, num_experts_per_tok: 2, clip_qkv: 0.8, router_aux_loss_coef: 0.02, \(common) }
        """
      case .scaled:
        """
        { model_type: ministral3, vocab_size: 60, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2,
          head_dim: 8, rope_parameters: { rope_type: yarn, factor: 16, original_max_position_embeddings: 4,
          llama_4_scaling_beta: 0.3 }, \(common) }
        """
      case .shifted:
        """
        { model_type: qwen2, vocab_size: 60, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2, \(common) }
        """
      }
    return try ModelConfiguration(
      huggingFace: ConfigurationSection(ConfigurationNode.parse(text, source: rawValue)))
  }

  var usesMuon: Bool { self == .biased }

  var optimizer: OptimizerSettings {
    OptimizerSettings(
      adamW: AdamW.Settings(beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1),
      muon: usesMuon ? Muon.Settings() : nil)
  }
}

/// One rank's part of a tiny model in training, without files.
final class TinyRank {
  static let microBatches = 3
  static let (sequences, length) = (2, 16)

  let world: Communicator
  let engine: Engine
  var layout: ParameterLayout { engine.layout }
  var shardingPlan: ShardingPlan { engine.shardingPlan }
  var state: ShardedParameters { engine.state }
  var parameters: Buffer<Float> { engine.parameters }
  private var configuration: ModelConfiguration { engine.options.model }

  /// Collective.
  init(_ model: TinyModel, _ job: JobLayout, _ world: Communicator) throws {
    self.world = world
    engine = try Engine(
      EngineOptions(
        model: model.configuration(), sequences: Self.sequences, length: Self.length, microBatches: Self.microBatches,
        optimizer: model.optimizer, sharding: job.sharding, expertDegree: job.degree, shadowExperts: .always,
        usesTimings: job.sharding == .optimizer, recompute: job.recompute),
      world: world, backend: Backend(threads: 1, matrixBackend: job.matrixBackend))
  }

  /// Fills this rank's shards with random numbers, and gathers them on all ranks that hold them. Collective.
  func initialize() throws {
    layout.initialize(
      parameters, ranges: state.shards.filter { !$0.isEmpty }, configuration: configuration, seed: 7,
      backend: engine.backend)
    try state.gatherShards()
  }

  /// All parameters. Collective.
  func weights() throws -> [Float] {
    var weights: [Float] = []
    try state.forEachParameters { weights += $0.array() }
    return weights
  }

  // MARK: Steps

  /// The result of a step.
  struct Step: Sendable, Equatable {
    /// Sums over the global batch, in fixed point.
    var losses: [Int64]
    var auxiliaryLoss: Int64
    var norm: Double
    /// `[sparse layers][experts]`
    var loads: [[Int]]
  }

  /// The same micro-batch on any rank: random tokens, of documents that begin at random places, some with a loss weight of 0.
  private func batch(_ index: Int) -> TokenBatch {
    let batch = TokenBatch(sequences: Self.sequences, length: Self.length)
    for sequence in 0..<Self.sequences {
      let random = CounterBasedRandom(seed: 11, stream: UInt64(index * Self.sequences + sequence))
      let tokens = (0...Self.length).map { Int32(random.bits(UInt64($0)).0 % UInt32(configuration.vocabularySize)) }
      batch.set(sequence: sequence, tokens: tokens)
      let start = Int32(random.bits(1000).0 % UInt32(Self.length))
      for (place, row) in batch.packing.tokens(of: sequence).enumerated() {
        if place >= start { (batch.documentStarts[row], batch.positions[row]) = (start, Int32(place) - start) }
        if place + 1 == start { batch.lossWeights[row] = 0 }
      }
    }
    return batch
  }

  /// An optimizer step as in `TrainingStep`. Collective.
  ///
  /// - Parameter number: counted from 1.
  func step(_ number: Int) throws -> Step {
    let all = (0..<Self.microBatches).map { batch((number - 1) * Self.microBatches + $0) }
    let dealing = MicroBatchAssignment(microBatches: Self.microBatches, ranks: world.size)
    let mine = dealing.microBatches(of: world.rank)
    let empty = TokenBatch(sequences: 0, length: Self.length)
    let batches = (0..<dealing.microSteps).map { $0 < mine.count ? all[mine[$0]] : empty }
    let experts = layout.expertCount
    var sums = [Int64](repeating: 0, count: 2 + configuration.sparseLayerCount * experts)
    var isRefused = false
    try engine.forwardBackward(batches, objective: NormalizedObjective(LanguageModeling(), of: all)) { _, result, _ in
      guard let losses = result.losses, let auxiliaryLoss = result.auxiliaryLoss else {
        isRefused = true
        return
      }
      sums[0] += losses[0]
      sums[1] += auxiliaryLoss
      for (place, load) in result.expertLoads.enumerated() { sums[2 + place] += Int64(load) }
    }
    try engine.finishGradients()
    try ContractViolation.unless(!isRefused && !engine.hasOverflowed, world, "a loss or a gradient was refused")
    try sums.withUnsafeMutableBufferPointer { try world.allReduce(arena: $0, .sum) }
    let norm = try engine.gradientNorm()
    let loads = (0..<configuration.sparseLayerCount).map { layer in
      sums[2 + layer * experts..<2 + (layer + 1) * experts].map { Int($0) }
    }
    engine.update(
      step: number, learningRate: 0.02, gradientScale: GradientClipping.factor(norm: norm, maximum: 0.5),
      expertLoads: loads)
    return Step(losses: [sums[0]], auxiliaryLoss: sums[1], norm: norm, loads: loads)
  }
}
