import Checkpoints
import Kernels
import MPI
import Models
import Optimizers
import Sharding
import Support

/// Sharded checkpoint state: the pieces that this rank writes, and a collective load in which each rank reads the
/// shards that it owns. ``CheckpointSaver`` writes the pieces.
///
/// Parameters are stored by their names, moments as `optimizer.first.NAME` and `optimizer.second.NAME`. Manifests do
/// not depend on ranks, so a checkpoint can be loaded on any number of ranks.
public struct CheckpointTransfer {
  private let communicator: Communicator
  private let layout: ParameterLayout
  private let parameters: Buffer<Float>
  private let optimizer: ShardedOptimizer
  private let threads: Int
  private let writes: Bool

  private static let firstPrefix = "optimizer.first."
  private static let secondPrefix = "optimizer.second."

  /// - Parameters:
  ///   - communicator: all ranks.
  ///   - writes: false on a rank whose state is a duplicate that another one writes.
  public init(
    communicator: Communicator, parameters: Buffer<Float>, optimizer: ShardedOptimizer, threads: Int, writes: Bool
  ) {
    self.communicator = communicator
    self.writes = writes
    self.layout = optimizer.state.shardingPlan.layout
    self.parameters = parameters
    self.optimizer = optimizer
    self.threads = threads
  }

  /// A contiguous range of one tensor that this rank owns.
  private struct Slice {
    let description: TensorDescription
    let offset: Int
    let values: Buffer<Float>
  }

  /// This rank's slices of the parameters and of the moments.
  private var slices: [Slice] {
    let shards = optimizer.state.shards.filter { !$0.isEmpty }
    var slices = layout.parts(of: shards).map { tensor, range in
      Slice(
        description: describe(tensor), offset: range.lowerBound - tensor.range.lowerBound, values: parameters[range])
    }
    // Without sharding a rank has the moments of all parameters, and owns a shard of them.
    var next = 0
    for slice in optimizer.optimizer.slices {
      while next < shards.count, shards[next].upperBound <= slice.range.lowerBound { next += 1 }
      guard next < shards.count, shards[next].overlaps(slice.range) else { continue }
      let range = slice.range.clamped(to: shards[next])
      let tensor = layout.tensors[slice.tensor]
      let moments = range.lowerBound - slice.range.lowerBound..<range.upperBound - slice.range.lowerBound
      let offset = range.lowerBound - tensor.range.lowerBound
      slices.append(
        Slice(description: describe(tensor, Self.firstPrefix), offset: offset, values: slice.first[moments]))
      if let second = slice.second {
        slices.append(Slice(description: describe(tensor, Self.secondPrefix), offset: offset, values: second[moments]))
      }
    }
    return slices
  }

  private func describe(_ tensor: ParameterTensor, _ prefix: String = "") -> TensorDescription {
    TensorDescription(name: prefix + tensor.name, dtype: .f32, shape: tensor.shape)
  }

  /// All tensors of a checkpoint, over all ranks.
  var tensors: [TensorDescription] {
    layout.tensors.map { describe($0) } + layout.tensors.map { describe($0, Self.firstPrefix) }
      + zip(layout.tensors, optimizer.hasSecondMoment).filter(\.1).map { describe($0.0, Self.secondPrefix) }
  }

  /// The pieces that this rank writes.
  var pieces: [ChunkWriter.Piece] {
    guard writes else { return [] }
    return slices.map {
      ChunkWriter.Piece(
        tensor: $0.description, elementOffset: $0.offset, bytes: UnsafeRawBufferPointer($0.values.pointer))
    }
  }

  /// The shard files that this rank reads.
  func files(_ reader: CheckpointReader) throws -> Set<String> { try reader.files(for: requests) }

  /// The read requests of this rank.
  private var requests: [CheckpointReader.Request] {
    slices.map {
      CheckpointReader.Request(
        tensor: $0.description.name, elements: $0.offset..<$0.offset + $0.values.count,
        destination: UnsafeMutableRawBufferPointer($0.values.pointer))
    }
  }

  /// Loads this rank's shards, and gathers them on all ranks where they are resident. Collective.
  ///
  /// - Throws: `ForgeError.badInput` on every rank when any of them found damage; parameters and moments are then
  ///   undefined.
  public func load(_ reader: CheckpointReader) throws {
    try communicator.together {
      try reader.read(requests, threads: threads)
    }
    try optimizer.state.gatherShards()
    try optimizer.gatherMoments()
  }
}
