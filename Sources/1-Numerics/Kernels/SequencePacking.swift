/// Packed sequences: several of them, of any lengths, one behind the other in the rows of a micro-batch.
public struct SequencePacking: Sendable, Equatable {
  /// Where each sequence begins, and where the last one ends: `[sequences + 1]`, rising from 0.
  public let boundaries: [Int]
  /// Blocks of queries of all sequences; those that may see most keys come first, so that no thread begins a long one last.
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
  /// Of all sequences together.
  public var tokenCount: Int { boundaries[sequences] }
  /// Tokens of the longest sequence.
  public var longest: Int { (0..<sequences).reduce(0) { max($0, tokens(of: $1).count) } }

  /// The rows of a sequence.
  public func tokens(of sequence: Int) -> Range<Int> { boundaries[sequence]..<boundaries[sequence + 1] }

  /// Blocks of queries of a sequence.
  func blockCount(of sequence: Int) -> Int {
    (tokens(of: sequence).count + Backend.queryBlock - 1) / Backend.queryBlock
  }
}
