public import Batches

/// The batch loader: splits global batches into micro-batches and reads those of one rank.
///
/// Which sequences form a micro-batch does not depend on the ranks; the assignment decides only which rank computes it.
public struct BatchLoader: Sendable {
  private let sequenceLength: Int
  private let microBatch: Int
  /// Reusable batches for this rank's micro-batches of a step; unused ones cost no memory.
  private let batches: [TokenBatch]
  private let empty: TokenBatch

  /// - Parameters:
  ///   - microBatch: sequences in a micro-batch.
  ///   - microBatches: micro-batches in a global batch.
  public init(sequenceLength: Int, microBatch: Int, microBatches: Int) {
    self.sequenceLength = sequenceLength
    self.microBatch = microBatch
    batches = (0..<microBatches).map { _ in TokenBatch(sequences: microBatch, length: sequenceLength) }
    empty = TokenBatch(sequences: 0, length: sequenceLength)
  }

  /// Splits a range of a stream's sequences into micro-batches. The last one is smaller when the count is no multiple
  /// of their size.
  public func microBatches(of sequences: Range<Int>) -> [Range<Int>] {
    stride(from: sequences.lowerBound, to: sequences.upperBound, by: microBatch).map {
      $0..<min($0 + microBatch, sequences.upperBound)
    }
  }

  /// Reads a batch for every micro-step, with empty ones after the last of `microBatches`.
  ///
  /// - Parameters:
  ///   - microBatches: the sequences of each.
  ///   - read: fills in one sequence of the stream, as `TrainingData.read` does.
  public func load(
    _ microBatches: [Range<Int>], microSteps: Int, read: (_ index: Int, _ batch: TokenBatch, _ sequence: Int) -> Void
  ) -> [TokenBatch] {
    (0..<microSteps).map { microStep in
      guard microStep < microBatches.count else { return empty }
      let sequences = microBatches[microStep]
      let batch =
        sequences.count == microBatch && microStep < batches.count
        ? batches[microStep] : TokenBatch(sequences: sequences.count, length: sequenceLength)
      for (place, index) in sequences.enumerated() { read(index, batch, place) }
      return batch
    }
  }
}
