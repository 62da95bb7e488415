@_exported public import Buffers

/// A block of a sequence's queries, by its number.
struct SequenceQueryBlock: Sendable {
  let sequence: Int
  let index: Int
}

extension SequencePacking {
  /// Query blocks of all sequences, those with the max keys first, so that no thread starts a long one last.
  var queryBlocks: [SequenceQueryBlock] {
    let blocks = (0..<sequences).map(blockCount)
    return (0..<(blocks.max() ?? 0)).reversed().flatMap { index in
      blocks.indices.filter { blocks[$0] > index }.map { SequenceQueryBlock(sequence: $0, index: index) }
    }
  }

  /// Query blocks of a sequence.
  func blockCount(of sequence: Int) -> Int {
    (tokens(of: sequence).count + Backend.queryBlock - 1) / Backend.queryBlock
  }
}
