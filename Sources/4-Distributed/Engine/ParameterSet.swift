public import Kernels
public import Models
public import Parallelism
public import Sharding

/// A model's sharded parameters on a mesh, with the exact sums of their gradients unless they are frozen. A process may
/// have several: a policy, its frozen reference, a teacher.
public final class ParameterSet {
  public let shardingPlan: ShardingPlan
  /// `[layout.count]`, laid out for the whole model; pages that this rank does not use are not touched.
  public let parameters: Arena<Float>
  /// Nil when the parameters are frozen.
  public let accumulator: FixedPointGradientAccumulator?
  /// Unshards and reshards parameters, and reduces gradients to their owners.
  public let state: ShardedParameters

  /// Allocates the parameters, and the accumulator unless they are frozen. Collective.
  ///
  /// - Parameter microBatches: of a global batch; nil for frozen parameters.
  /// - Throws: `MPIError`.
  init(_ shardingPlan: ShardingPlan, mesh: ProcessMesh, microBatches: Int?, backend: Backend) throws {
    let count = shardingPlan.layout.count
    self.shardingPlan = shardingPlan
    parameters = Arena(count: count, hugePages: shardingPlan.usesHugePages)
    accumulator = microBatches.map {
      FixedPointGradientAccumulator(count: count, microBatches: $0, hugePages: shardingPlan.usesHugePages)
    }
    state = try ShardedParameters(
      shardingPlan: shardingPlan, mesh: mesh, parameters: parameters, accumulator: accumulator, backend: backend)
  }
}
