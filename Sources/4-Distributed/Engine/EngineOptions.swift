public import Models
public import Optimizers
public import RunConfiguration
public import Sharding
import Support

/// What an engine computes with, and how that is spread over ranks.
public struct EngineOptions: Sendable {
  public var model: ModelConfiguration
  /// Sequences of the largest micro-batch, and tokens of each.
  public var sequences: Int
  public var length: Int
  /// Micro-batches of a global batch.
  public var microBatches: Int
  public var optimizer: OptimizerSettings
  public var sharding: ZeROStage
  /// Ranks that share the experts of a layer.
  public var expertDegree: Int
  /// When busy ranks lend experts to others.
  public var shadowExperts: ExpertShadowing
  /// Whether slower ranks lend more.
  public var usesTimings: Bool
  /// What of the activations is computed a second time.
  public var recompute: Recomputation
  /// Ranks that compute the same thing, along an axis whose parallelism is still to come; for tests.
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
  ///   - duplicates: that compute the same thing.
  /// - Throws: `ForgeError.badInput` when the experts cannot be spread over them as asked for.
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

  /// How some ranks are arranged.
  public func meshShape(ranks: Int) -> MeshShape {
    MeshShape(ranks: ranks, expert: expertDegree, tensor: duplicates)
  }

  /// Who owns, keeps, computes with and updates what.
  ///
  /// - Parameter ranks: that the parameters are spread over.
  /// - Throws: `ForgeError.badInput` when no exchange can carry it.
  public func shardingPlan(ranks: Int) throws -> ShardingPlan {
    let layout = ParameterLayout(model)
    let shardingPlan = ShardingPlan(
      layout: layout, experts: ExpertPlacement(experts: layout.expertCount, ranks: ranks, degree: expertDegree),
      stage: sharding, wholeMatrices: optimizer.needsWholeMatrices)
    if let violation = shardingPlan.violation { throw ForgeError.badInput(violation) }
    return shardingPlan
  }
}
