import Kernels
import MPI
import Models
import Optimizers

/// Data parallelism with sharded optimizer state (ZeRO-1, Rajbhandari et al. 2020) on exact gradient sums.
///
/// Every rank owns a range of each piece: it gets the sum of all ranks' gradients there, keeps the moments, makes the
/// update, and everybody gathers the result, behind the next forward pass. The gradient's norm is built from blocks that
/// do not depend on who owns them, added in block order, so every rank count gives the same bits.
public final class ShardedAdamW {
  public let adamW: AdamW
  public let reducer: ExactGradientReducer
  private let layout: ParameterLayout
  private let accumulator: GradientAccumulator
  private let parameters: Buffer<Float>
  private let compute: Compute
  private let communicator: Communicator
  private let blockNorms: Arena<Double>
  /// Where each piece's blocks begin in `blockNorms`.
  private let firstBlock: [Int]

  /// Collective.
  ///
  /// - Throws: `MPIError`.
  public init(
    settings: AdamW.Settings, layout: ParameterLayout, accumulator: GradientAccumulator, parameters: Arena<Float>,
    communicator: Communicator, compute: Compute
  ) throws {
    self.layout = layout
    self.accumulator = accumulator
    self.parameters = parameters.buffer
    self.compute = compute
    self.communicator = communicator
    reducer = try ExactGradientReducer(
      communicator: communicator, gradient: accumulator.sums.pointer, parameters: parameters.buffer.pointer,
      pieces: layout.pieces, owner: ArenaOwner(accumulator: accumulator.memory, parameters: parameters))
    let sharding = reducer.sharding
    adamW = AdamW(
      settings: settings, groups: layout.tensors.map { AdamW.Group(range: $0.range, decays: $0.decays) },
      shards: Self.shards(of: communicator.rank, sharding))
    var blocks = 0
    firstBlock = layout.pieces.map { piece in
      defer { blocks += (piece.count + ArenaSharding.blockSize - 1) / ArenaSharding.blockSize }
      return blocks
    }
    blockNorms = Arena(count: blocks)
  }

  /// Keeps both arenas alive for the communication thread.
  private final class ArenaOwner: Sendable {
    let accumulator: Arena<Int64>
    let parameters: Arena<Float>
    init(accumulator: Arena<Int64>, parameters: Arena<Float>) {
      self.accumulator = accumulator
      self.parameters = parameters
    }
  }

  private static func shards(of rank: Int, _ sharding: ArenaSharding) -> [ParameterShard] {
    var offset = 0
    return sharding.owned.map { owners in
      defer { offset += owners[rank].count }
      return ParameterShard(range: owners[rank], momentOffset: offset)
    }
  }

  /// Parameters whose moments a rank keeps: the largest share.
  public static func ownedCount(_ layout: ParameterLayout, ranks: Int) -> Int {
    let sharding = ArenaSharding(pieces: layout.pieces, ranks: ranks)
    return (0..<ranks).map { rank in sharding.owned.reduce(0) { $0 + $1[rank].count } }.max() ?? 0
  }

  /// The L2 norm of the whole gradient, the same bits on every rank. Collective; after `reducer.wait()`.
  public func gradientNorm() throws -> Double {
    blockNorms.buffer.fill(0)
    for (piece, range) in layout.pieces.enumerated() {
      let owned = reducer.ownedRange(ofPiece: piece)
      guard !owned.isEmpty else { continue }
      let first = firstBlock[piece] + (owned.lowerBound - range.lowerBound) / ArenaSharding.blockSize
      let count = (owned.count + ArenaSharding.blockSize - 1) / ArenaSharding.blockSize
      compute.sumsOfSquares(
        accumulator.sums[owned], blockSize: ArenaSharding.blockSize, into: blockNorms.buffer[first..<first + count])
    }
    // Each block has one owner and is zero elsewhere, so this sum is exact.
    try communicator.allReduce(arena: blockNorms.buffer.pointer, .sum)
    return blockNorms.buffer.pointer.reduce(0, +).squareRoot()
  }

  /// Updates this rank's shards and starts gathering everybody's. Collective.
  public func update(step: Int, learningRate: Double, gradientScale: Float) throws {
    adamW.update(
      step: step, learningRate: learningRate, gradientScale: gradientScale, sums: accumulator.sums,
      parameters: parameters, compute: compute)
    gatherParameters()
  }

  /// Starts bringing every rank's shards of the parameters to every rank, in the order in which a forward pass needs them.
  public func gatherParameters() {
    for piece in layout.pieces.indices { reducer.submitGather(piece: piece) }
  }

  /// Returns when all parameters are here.
  public func waitForParameters() throws {
    for piece in layout.pieces.indices { try reducer.waitGather(piece: piece) }
  }

  /// The whole gradient in fp32 on every rank: for comparing it, not for training. Collective; after
  /// the pieces were submitted.
  ///
  /// - Throws: `MPIError`.
  public func completeGradients() throws -> Arena<Float> {
    try reducer.wait()
    let gradients = Arena<Float>(count: layout.count)
    for piece in layout.pieces.indices {
      let owned = reducer.ownedRange(ofPiece: piece)
      compute.convert(accumulator.sums[owned], to: gradients.buffer[owned])
    }
    try communicator.allReduce(arena: gradients.buffer.pointer, .sum)
    return gradients
  }

  /// Bytes of exchange buffers: one chunk of every other rank's numbers.
  public static func plannedBufferBytes(ranks: Int) -> Int {
    ranks > 1 ? 8 * ExactGradientReducer.chunkSize : 0
  }
}
