import Checkpoints
import Kernels
import MPI
import Models
import Optimizers
import Sharding
import Support

/// A run's state as a checkpoint has it: what this rank writes, and reading it back with all ranks at work, each on the
/// shards that it owns. ``CheckpointSaver`` does the writing.
///
/// Tensors go by their own names, moments by `optimizer.first.NAME` and `optimizer.second.NAME`, and a manifest knows
/// nothing of ranks, so any number of them can read what any other number wrote.
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
  ///   - writes: false on a rank whose state another one has too and writes.
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

  /// A run of elements of one tensor that this rank owns.
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
    // Without sharding a rank has more moments than it owns.
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

  /// All tensors of a checkpoint, whoever owns them.
  var tensors: [TensorDescription] {
    layout.tensors.map { describe($0) } + layout.tensors.map { describe($0, Self.firstPrefix) }
      + zip(layout.tensors, optimizer.hasSecondMoment).filter(\.1).map { describe($0.0, Self.secondPrefix) }
  }

  /// What this rank writes into a checkpoint.
  var pieces: [ChunkWriter.Piece] {
    guard writes else { return [] }
    return slices.map {
      ChunkWriter.Piece(
        tensor: $0.description, elementOffset: $0.offset, bytes: UnsafeRawBufferPointer($0.values.pointer))
    }
  }

  /// The shards that this rank reads.
  func files(_ reader: CheckpointReader) throws -> Set<String> { try reader.files(for: requests) }

  /// What this rank reads from a checkpoint.
  private var requests: [CheckpointReader.Request] {
    slices.map {
      CheckpointReader.Request(
        tensor: $0.description.name, elements: $0.offset..<$0.offset + $0.values.count,
        destination: UnsafeMutableRawBufferPointer($0.values.pointer))
    }
  }

  /// Reads this rank's shards and brings them to all who keep them. Collective.
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
