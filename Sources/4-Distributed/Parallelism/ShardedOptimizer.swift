import Kernels
import MPI
import Models
import Optimizers
import Sharding

/// Sharded optimizer on exact gradient sums, by the sharding plan.
///
/// The gradient norm is the sum of blocks that do not depend on sharding, added in block order, so its bits are the
/// same for any number of ranks.
public final class ShardedOptimizer {
  public let optimizer: Optimizer
  public let state: ShardedParameters
  /// By tensor, whether it has a second moment (AdamW).
  let hasSecondMoment: [Bool]
  private let layout: ParameterLayout
  private let sums: Buffer<Int64>
  public let parameters: Buffer<Float>
  private let backend: Backend
  private let communicator: Communicator
  private let blockNorms: Arena<Double>
  /// The index of each tensor's first block in `blockNorms`.
  private let firstBlock: [Int]

  /// - Parameters:
  ///   - tensors: in the order of the layout.
  ///   - sums, parameters: `[layout.count]`.
  public init(
    settings: OptimizerSettings, tensors: [OptimizedTensor], state: ShardedParameters, sums: Buffer<Int64>,
    parameters: Buffer<Float>, communicator: Communicator, backend: Backend
  ) {
    self.state = state
    self.sums = sums
    self.parameters = parameters
    self.backend = backend
    self.communicator = communicator
    hasSecondMoment = tensors.map { if case .adamW = $0.rule { true } else { false } }
    layout = state.shardingPlan.layout
    optimizer = Optimizer(
      settings: settings, tensors: tensors, shards: state.updateRange.filter { !$0.isEmpty })
    var blocks = 0
    firstBlock = layout.tensors.map { tensor in
      defer { blocks += Self.blocks(tensor.range.count) }
      return blocks
    }
    blockNorms = Arena(count: blocks)
  }

  private static func blocks(_ elements: Int) -> Int {
    (elements + ShardingPlan.blockSize - 1) / ShardingPlan.blockSize
  }

  /// The L2 norm of the full gradient, the same bits on every rank. Collective; after `waitForGradients`.
  ///
  /// - Throws: `MPIError`.
  public func gradientNorm() throws -> Double {
    blockNorms.buffer.fill(0)
    var index = 0
    for (tensor, slice) in layout.parts(of: state.shards.filter { !$0.isEmpty }) {
      while layout.tensors[index].range.lowerBound < tensor.range.lowerBound { index += 1 }
      let first = firstBlock[index] + (slice.lowerBound - tensor.range.lowerBound) / ShardingPlan.blockSize
      backend.sumsOfSquares(
        sums[slice], blockSize: ShardingPlan.blockSize,
        into: blockNorms.buffer[first..<first + Self.blocks(slice.count)])
    }
    // Each block has one owner and is zero elsewhere, so this sum is exact.
    try communicator.allReduce(arena: blockNorms.buffer.pointer, .sum)
    return blockNorms.buffer.pointer.reduce(0, +).squareRoot()
  }

  /// Updates the parameters of this rank's update ranges.
  public func update(step: Int, learningRate: Double, gradientScale: Float) {
    optimizer.update(
      step: step, learningRate: learningRate, gradientScale: gradientScale, sums: sums, parameters: parameters,
      backend: backend)
  }

  /// Updates the expert biases within this rank's update ranges, by the step's global loads.
  ///
  /// - Parameter loads: `[sparse layers][experts]`.
  public func updateExpertBiases(loads: [[Int]], rate: Float) {
    let biases = layout.tensors.filter { $0.role == .expertBias }
    guard !biases.isEmpty, rate != 0 else { return }
    precondition(biases.count == loads.count, "every sparse layer has a bias")
    for (tensor, loads) in zip(biases, loads) {
      for range in state.updateRange where range.overlaps(tensor.range) {
        let slice = range.clamped(to: tensor.range)
        let first = slice.lowerBound - tensor.range.lowerBound
        ExpertBias.update(parameters[slice], of: first..<first + slice.count, loads: loads, rate: rate)
      }
    }
  }

  /// Gathers the owners' moments on all ranks, without sharding; otherwise does nothing. Collective.
  public func gatherMoments() throws {
    guard state.shardingPlan.stage == .none else { return }
    var unit = 0
    for slice in optimizer.slices {
      while layout.units[unit].upperBound <= slice.range.lowerBound { unit += 1 }
      try state.gatherShards(slice.first, of: slice.range, unit: unit)
      if let second = slice.second { try state.gatherShards(second, of: slice.range, unit: unit) }
    }
  }

  /// The full gradient in fp32 on every rank, for comparisons, not for training. Collective; after a step's
  /// micro-steps.
  ///
  /// - Throws: `MPIError`.
  public func completeGradients() throws -> Arena<Float> {
    try state.waitForGradients()
    let gradients = Arena<Float>(count: layout.count)
    for range in state.shards { backend.convert(sums[range], to: gradients.buffer[range]) }
    try communicator.allReduce(arena: gradients.buffer.pointer, .sum)
    return gradients
  }
}
