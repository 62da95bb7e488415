public import Kernels
public import Models
public import Parallelism
public import Sharding

/// A model's parameters on a mesh: where they are laid out, who owns which, and, unless they are frozen, the exact sums of
/// their gradients. A process may hold several: a policy, its frozen reference, a teacher.
public final class ParameterSet {
  public let shardingPlan: ShardingPlan
  /// `[layout.count]`, laid out whole; memory that this rank does not use is not touched.
  public let parameters: Arena<Float>
  /// nil when the parameters are frozen.
  public let accumulator: FixedPointGradientAccumulator?
  /// Brings pieces of the parameters to where they are computed with, and gradients to their owners.
  public let state: ShardedParameters

  /// Collective.
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
