public import Batches

/// Cuts global batches into micro-batches and reads those of one rank.
///
/// Which sequences form a micro-batch depends on the step alone; the rank decides only who computes it.
public struct BatchLoader: Sendable {
  private let sequenceLength: Int
  private let microBatch: Int
  /// Memory for this rank's micro-batches of one step; what is never used costs nothing.
  private let batches: [TokenBatch]
  private let empty: TokenBatch

  /// - Parameters:
  ///   - microBatch: sequences of a micro-batch.
  ///   - microBatches: of a global batch.
  public init(sequenceLength: Int, microBatch: Int, microBatches: Int) {
    self.sequenceLength = sequenceLength
    self.microBatch = microBatch
    batches = (0..<microBatches).map { _ in TokenBatch(sequences: microBatch, length: sequenceLength) }
    empty = TokenBatch(sequences: 0, length: sequenceLength)
  }

  /// The micro-batches that some sequences of a stream make. The last one of a count that is no multiple of their size is
  /// smaller.
  public func microBatches(of sequences: Range<Int>) -> [Range<Int>] {
    stride(from: sequences.lowerBound, to: sequences.upperBound, by: microBatch).map {
      $0..<min($0 + microBatch, sequences.upperBound)
    }
  }

  /// Reads micro-batches: one for every micro-step, empty ones behind those that were asked for.
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
