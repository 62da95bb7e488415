public import Models
public import Optimizers
public import RunConfiguration
public import Sharding
import Support

/// The options of an engine: model, batch shape, optimizer and parallelism.
public struct EngineOptions: Sendable {
  public var model: ModelConfiguration
  /// Sequences of the largest micro-batch, and tokens of each.
  public var sequences: Int
  public var length: Int
  /// Micro-batches of a global batch.
  public var microBatches: Int
  public var optimizer: OptimizerSettings
  public var sharding: ZeROStage
  /// Expert-parallel degree: ranks that share the experts of a layer.
  public var expertDegree: Int
  /// When experts of busy ranks are shadowed.
  public var shadowExperts: ExpertShadowing
  /// Whether measured timings count, so that experts of slower ranks are shadowed more.
  public var usesTimings: Bool
  /// Activation recomputation.
  public var recompute: Recomputation
  /// Ranks that compute the same, along the tensor axis, which has no parallelism yet; for tests.
  public var duplicates = 1

  public init(
    model: ModelConfiguration, sequences: Int, length: Int, microBatches: Int, optimizer: OptimizerSettings,
    sharding: ZeROStage = .optimizer, expertDegree: Int = 1, shadowExperts: ExpertShadowing = .auto,
    usesTimings: Bool = true, recompute: Recomputation = .none
  ) {
    self.model = model
    self.sequences = sequences
    self.length = length
    self.microBatches = microBatches
    self.optimizer = optimizer
    self.sharding = sharding
    self.expertDegree = expertDegree
    self.shadowExperts = shadowExperts
    self.usesTimings = usesTimings
    self.recompute = recompute
  }

  /// - Parameters:
  ///   - ranks: of the run.
  ///   - duplicates: ranks that compute the same.
  /// - Throws: `ForgeError.badInput` when the configured expert degree is invalid.
  public init(_ configuration: RunConfiguration, ranks: Int, duplicates: Int = 1) throws {
    self.init(
      model: configuration.model, sequences: configuration.batch.microBatch, length: configuration.data.sequenceLength,
      microBatches: configuration.batch.microBatches, optimizer: configuration.optimizer,
      sharding: configuration.parallelism.sharding,
      expertDegree: try configuration.expertDegree(ranks: ranks / duplicates),
      shadowExperts: configuration.parallelism.shadowExperts, usesTimings: configuration.parallelism.balance == .auto,
      recompute: configuration.memory.recompute)
    self.duplicates = duplicates
  }

  /// The shape of the mesh of `ranks` ranks.
  public func meshShape(ranks: Int) -> MeshShape {
    MeshShape(ranks: ranks, expert: expertDegree, tensor: duplicates)
  }

  /// The sharding plan: shards, resident, compute and update ranges by rank.
  ///
  /// - Parameter ranks: those that the parameters are sharded over.
  /// - Throws: `ForgeError.badInput` when a unit is too large for one exchange.
  public func shardingPlan(ranks: Int) throws -> ShardingPlan {
    let layout = ParameterLayout(model)
    let shardingPlan = ShardingPlan(
      layout: layout, experts: ExpertPlacement(experts: layout.expertCount, ranks: ranks, degree: expertDegree),
      stage: sharding, wholeMatrices: optimizer.needsWholeMatrices)
    if let violation = shardingPlan.violation {
      throw ForgeError.badInput(violation.problem, hint: violation.hint, code: .invalidLayout)
    }
    return shardingPlan
  }
}
