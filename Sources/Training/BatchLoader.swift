import Datasets
import Models

/// Cuts global batches into micro-batches and deals them to ranks.
///
/// Which sequences form a micro-batch depends on the step alone; the rank decides only who computes it.
struct BatchLoader {
  private let sequenceLength: Int
  private let microBatch: Int
  private let rank: Int
  private let ranks: Int
  /// Room for this rank's micro-batches of one step.
  private let rooms: [MicroBatch]
  private let memory: TokenMemory

  /// The buffers that one sequence is read into.
  private final class TokenMemory {
    let tokens: UnsafeMutableBufferPointer<Int32>
    let documentStarts: UnsafeMutableBufferPointer<Int32>

    init(length: Int) {
      tokens = .allocate(capacity: length + 1)
      documentStarts = .allocate(capacity: length)
    }

    deinit {
      tokens.deallocate()
      documentStarts.deallocate()
    }
  }

  init(sequenceLength: Int, batch: RunConfiguration.Batch, rank: Int, ranks: Int) {
    self.sequenceLength = sequenceLength
    microBatch = batch.microBatch
    self.rank = rank
    self.ranks = ranks
    let most = (batch.microBatches + ranks - 1) / ranks
    rooms = (0..<max(1, most)).map { _ in MicroBatch(sequences: batch.microBatch, length: sequenceLength) }
    memory = TokenMemory(length: sequenceLength)
  }

  static func plannedBytes(sequenceLength: Int, batch: RunConfiguration.Batch, ranks: Int) -> Int {
    let most = (batch.microBatches + ranks - 1) / ranks
    return 4 * most * MicroBatch.words(sequences: batch.microBatch, length: sequenceLength)
  }

  /// This rank's micro-batches of the sequences `first..<first + count` of the stream, in order. The last micro-batch of
  /// a count that is no multiple of its size is smaller.
  ///
  /// - Parameter read: fills in one sequence, as `TrainingData.read` does.
  func load(
    first: Int, count: Int,
    read: (_ sequence: Int, UnsafeMutableBufferPointer<Int32>, UnsafeMutableBufferPointer<Int32>) -> Void
  ) -> [MicroBatch] {
    let total = (count + microBatch - 1) / microBatch
    return stride(from: rank, to: total, by: ranks).enumerated().map { place, index in
      let start = index * microBatch
      let sequences = min(microBatch, count - start)
      let room =
        sequences == microBatch && place < rooms.count
        ? rooms[place] : MicroBatch(sequences: sequences, length: sequenceLength)
      for sequence in 0..<sequences {
        read(first + start + sequence, memory.tokens, memory.documentStarts)
        room.set(
          sequence: sequence, tokens: UnsafeBufferPointer(memory.tokens),
          documentStarts: UnsafeBufferPointer(memory.documentStarts))
      }
      return room
    }
  }
}
