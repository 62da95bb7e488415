import Kernels

/// The layout of a rank's optimizer shard, without its memory: parts of tensors, offsets of their moments, and batches
/// of matrices that are orthogonalised together.
struct OptimizerShard {
  struct Slice {
    /// Index of the tensor.
    let tensor: Int
    /// Elements of the parameter arena.
    let range: Range<Int>
    /// Elements of the optimizer's own arenas.
    let first: Range<Int>
    let second: Range<Int>?
  }

  struct ShardMatrix {
    let rows: Int
    let columns: Int
    let slice: Slice
  }

  private(set) var slices: [Slice] = []
  private(set) var firstCount = 0
  private(set) var secondCount = 0
  /// Batches of Muon matrices that are orthogonalised together.
  private(set) var batches: [[ShardMatrix]] = []
  /// Floats that the largest batch needs.
  private(set) var scratchCount = 0
  private var batchFloatsInUse = 0

  /// The max floats of a batch, 32 MiB: enough small matrices for every thread of a large machine.
  private static let batchFloats = 1 << 23

  /// - Parameters:
  ///   - tensors, shards: both ascending and disjoint.
  init(tensors: [OptimizedTensor], shards: [Range<Int>]) {
    var next = 0
    var end = 0
    for shard in shards where !shard.isEmpty {
      precondition(shard.lowerBound >= end, "shards are ascending and disjoint")
      end = shard.upperBound
      while next < tensors.count, tensors[next].range.upperBound <= shard.lowerBound { next += 1 }
      for index in next..<tensors.count {
        guard tensors[index].range.lowerBound < shard.upperBound else { break }
        add(tensors[index], index: index, in: shard)
      }
    }
  }

  private mutating func add(_ tensor: OptimizedTensor, index: Int, in shard: Range<Int>) {
    let range = tensor.range.clamped(to: shard)
    guard !range.isEmpty else { return }
    let first = firstCount..<firstCount + range.count
    firstCount = first.upperBound
    switch tensor.rule {
    case .adamW:
      let second = secondCount..<secondCount + range.count
      secondCount = second.upperBound
      slices.append(Slice(tensor: index, range: range, first: first, second: second))
    case .muon(let rows, let columns):
      precondition(range == tensor.range, "Muon needs a matrix whole")
      let slice = Slice(tensor: index, range: range, first: first, second: nil)
      slices.append(slice)
      addToBatch(ShardMatrix(rows: rows, columns: columns, slice: slice))
    }
  }

  /// Fills batches in order; a matrix larger than the limit is a batch by itself.
  private mutating func addToBatch(_ matrix: ShardMatrix) {
    let floats = MuonStep.scratchFloats(rows: matrix.rows, columns: matrix.columns)
    if batches.isEmpty || batchFloatsInUse + floats > Self.batchFloats {
      batches.append([])
      batchFloatsInUse = 0
    }
    batches[batches.count - 1].append(matrix)
    batchFloatsInUse += floats
    scratchCount = max(scratchCount, batchFloatsInUse)
  }

  var bytes: Int { 4 * (firstCount + secondCount + scratchCount) }
}
