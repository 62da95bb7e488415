/// Sequence packing: several sequences, of any lengths, contiguous in the rows of a micro-batch (cumulative sequence
/// lengths).
public struct SequencePacking: Sendable, Equatable {
  /// Cumulative lengths, `[sequences + 1]`, from 0: where each sequence begins, and where the last one ends.
  public let boundaries: [Int]
  /// Query blocks of all sequences, those with the max keys first, so that no thread starts a long one last.
  let queryBlocks: [QueryBlock]

  struct QueryBlock: Sendable, Equatable {
    let sequence: Int
    let index: Int
  }

  /// - Parameter lengths: tokens of each sequence, at least 0.
  public init(lengths: [Int]) {
    precondition(lengths.allSatisfy { $0 >= 0 }, "a length is not negative")
    boundaries = lengths.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1) }
    let blocks = lengths.map { ($0 + Backend.queryBlock - 1) / Backend.queryBlock }
    queryBlocks = (0..<(blocks.max() ?? 0)).reversed().flatMap { index in
      blocks.indices.filter { blocks[$0] > index }.map { QueryBlock(sequence: $0, index: index) }
    }
  }

  public init(sequences: Int, length: Int) {
    self.init(lengths: Array(repeating: length, count: sequences))
  }

  public var sequences: Int { boundaries.count - 1 }
  /// Tokens of all sequences together.
  public var tokenCount: Int { boundaries[sequences] }
  /// Tokens of the longest sequence.
  public var longest: Int { (0..<sequences).reduce(0) { max($0, tokens(of: $1).count) } }

  /// The rows of a sequence.
  public func tokens(of sequence: Int) -> Range<Int> { boundaries[sequence]..<boundaries[sequence + 1] }

  /// Query blocks of a sequence.
  func blockCount(of sequence: Int) -> Int {
    (tokens(of: sequence).count + Backend.queryBlock - 1) / Backend.queryBlock
  }
}
