public import Kernels

/// An optimizer over a rank's shards of the parameter arena, with an update rule for each tensor.
///
/// AdamW's elements are independent, and Muon's matrices are whole and independent, so sharding does not change a bit.
/// The rank's moments are in arenas without gaps; `second` holds AdamW's elements only.
public final class Optimizer {
  /// A contiguous range of one tensor's elements, and its moments.
  public struct Slice {
    /// Index of the tensor.
    public let tensor: Int
    /// Elements of the parameter arena.
    public let range: Range<Int>
    /// The first moment: the running mean of the gradient.
    public let first: Buffer<Float>
    /// The second moment, AdamW only: the running mean of the squared gradient.
    public let second: Buffer<Float>?
  }

  public let settings: OptimizerSettings
  /// Ascending.
  public let slices: [Slice]
  private let tensors: [OptimizedTensor]
  private let shard: OptimizerShard
  private let memory: (first: Arena<Float>, second: Arena<Float>, scratch: Arena<Float>)

  /// - Parameters:
  ///   - tensors: all of the arena, ascending and disjoint.
  ///   - shards: ranges of the arena that this rank updates, ascending and disjoint. A Muon matrix is wholly inside one
  ///     of them or wholly outside all.
  public init(settings: OptimizerSettings, tensors: [OptimizedTensor], shards: [Range<Int>]) {
    let shard = OptimizerShard(tensors: tensors, shards: shards)
    precondition(shard.batches.isEmpty || settings.muon != nil, "Muon's tensors need its settings")
    let memory = (
      first: Arena<Float>(count: shard.firstCount), second: Arena<Float>(count: shard.secondCount),
      scratch: Arena<Float>(count: shard.scratchCount)
    )
    self.settings = settings
    self.tensors = tensors
    self.shard = shard
    self.memory = memory
    slices = shard.slices.map { slice in
      Slice(
        tensor: slice.tensor, range: slice.range, first: memory.first.buffer[slice.first],
        second: slice.second.map { memory.second.buffer[$0] })
    }
  }

  /// Bytes of the moments and, with Muon, of scratch memory that `init` allocates.
  public static func plannedBytes(tensors: [OptimizedTensor], shards: [Range<Int>]) -> Int {
    OptimizerShard(tensors: tensors, shards: shards).bytes
  }

  /// Updates this rank's shards.
  ///
  /// - Parameters:
  ///   - step: counted from 1.
  ///   - gradientScale: the clipping factor.
  ///   - sums: exact gradient sums, `[parameters]`; read in this rank's shards only.
  public func update(
    step: Int, learningRate: Double, gradientScale: Float, sums: Buffer<Int64>, parameters: Buffer<Float>,
    backend: Backend
  ) {
    for slice in shard.slices {
      guard case .adamW(let decays) = tensors[slice.tensor].rule, let second = slice.second else { continue }
      let numbers = AdamWStep(
        learningRate: learningRate, beta1: settings.adamW.beta1, beta2: settings.adamW.beta2,
        epsilon: settings.adamW.epsilon, weightDecay: decays ? settings.adamW.weightDecay : 0, step: step)
      backend.adamW(
        numbers, gradientScale: gradientScale, accumulator: sums[slice.range], first: memory.first.buffer[slice.first],
        second: memory.second.buffer[second], parameters: parameters[slice.range])
    }
    guard let muon = settings.muon else { return }
    let numbers = MuonStep(
      learningRate: learningRate, momentum: muon.momentum, weightDecay: muon.weightDecay,
      newtonSchulzSteps: muon.newtonSchulzSteps)
    for batch in shard.batches {
      let matrices = batch.map { matrix in
        MuonMatrix(
          rows: matrix.rows, columns: matrix.columns, accumulator: sums[matrix.slice.range],
          momentum: memory.first.buffer[matrix.slice.first], parameters: parameters[matrix.slice.range])
      }
      backend.muon(numbers, gradientScale: gradientScale, matrices: matrices, scratch: memory.scratch.buffer)
    }
  }
}
