/// Sequence packing: several sequences, of any lengths, contiguous in the rows of a micro-batch (cumulative sequence
/// lengths).
public struct SequencePacking: Sendable, Equatable {
  /// Cumulative lengths, `[sequences + 1]`, from 0: where each sequence begins, and where the last one ends.
  public let boundaries: [Int]

  /// - Parameter lengths: tokens of each sequence, at least 0.
  public init(lengths: [Int]) {
    precondition(lengths.allSatisfy { $0 >= 0 }, "a length is not negative")
    boundaries = lengths.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1) }
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
}
