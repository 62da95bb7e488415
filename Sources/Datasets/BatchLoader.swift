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

  /// Micro-batches that `count` sequences make.
  public func microBatches(of count: Int) -> Int { (count + microBatch - 1) / microBatch }

  /// Some micro-batches of the sequences `first..<first + count` of a stream: one for every round, empty ones behind those
  /// that were asked for. The last micro-batch of a count that is no multiple of its size is smaller.
  ///
  /// - Parameters:
  ///   - microBatches: which, of those that the sequences make.
  ///   - read: fills in one sequence of the stream, as `TrainingData.read` does.
  public func load(
    first: Int, count: Int, microBatches: [Int], rounds: Int,
    read: (_ index: Int, _ batch: TokenBatch, _ sequence: Int) -> Void
  ) -> [TokenBatch] {
    (0..<rounds).map { round in
      guard round < microBatches.count else { return empty }
      let start = microBatches[round] * microBatch
      let sequences = min(microBatch, count - start)
      let batch =
        sequences == microBatch && round < batches.count
        ? batches[round] : TokenBatch(sequences: sequences, length: sequenceLength)
      for sequence in 0..<sequences { read(first + start + sequence, batch, sequence) }
      return batch
    }
  }
}
