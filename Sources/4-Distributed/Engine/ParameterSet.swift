public import Kernels
public import Models
public import Parallelism
public import Sharding

/// A model's parameters on a mesh: where they are laid out, who owns which, and, unless they are frozen, the exact sums of
/// their gradients. A process may hold several: a policy, its frozen reference, a teacher.
public final class ParameterSet {
  public let placement: StatePlacement
  /// `[layout.count]`, laid out whole; memory that this rank does not use is not touched.
  public let parameters: Arena<Float>
  /// nil when the parameters are frozen.
  public let accumulator: GradientAccumulator?
  /// Brings pieces of the parameters to where they are computed with, and gradients to their owners.
  public let state: ShardedState

  /// Collective.
  ///
  /// - Parameter microBatches: of a global batch; nil for frozen parameters.
  /// - Throws: `MPIError`.
  init(_ placement: StatePlacement, mesh: ProcessMesh, microBatches: Int?, compute: Compute) throws {
    let count = placement.layout.count
    self.placement = placement
    parameters = Arena(count: count, hugePages: placement.usesHugePages)
    accumulator = microBatches.map {
      GradientAccumulator(count: count, microBatches: $0, hugePages: placement.usesHugePages)
    }
    state = try ShardedState(
      placement: placement, mesh: mesh, parameters: parameters, accumulator: accumulator, compute: compute)
  }
}
