import Datasets
import Models
import Placement
import Settings

/// Cuts global batches into micro-batches and deals them to ranks.
///
/// Which sequences form a micro-batch depends on the step alone; the rank decides only who computes it.
struct BatchLoader {
  private let sequenceLength: Int
  private let microBatch: Int
  private let rank: Int
  /// Room for this rank's micro-batches of one step; memory that is never used costs nothing.
  private let rooms: [MicroBatch]
  private let empty: MicroBatch
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

  init(sequenceLength: Int, batch: RunConfiguration.Batch, rank: Int) {
    self.sequenceLength = sequenceLength
    microBatch = batch.microBatch
    self.rank = rank
    rooms = (0..<batch.microBatches).map { _ in MicroBatch(sequences: batch.microBatch, length: sequenceLength) }
    empty = MicroBatch(sequences: 0, length: sequenceLength)
    memory = TokenMemory(length: sequenceLength)
  }

  /// Micro-batches that `count` sequences make.
  func microBatches(of count: Int) -> Int { (count + microBatch - 1) / microBatch }

  /// This rank's micro-batches of the sequences `first..<first + count` of the stream: one for every round, empty ones
  /// where it has none. The last micro-batch of a count that is no multiple of its size is smaller.
  ///
  /// - Parameter read: fills in one sequence, as `TrainingData.read` does.
  func load(
    first: Int, count: Int, dealing: MicroBatchDealing,
    read: (_ sequence: Int, UnsafeMutableBufferPointer<Int32>, UnsafeMutableBufferPointer<Int32>) -> Void
  ) -> [MicroBatch] {
    let mine = dealing.microBatches(of: rank)
    return (0..<dealing.rounds).map { round in
      guard round < mine.count else { return empty }
      let start = mine[round] * microBatch
      let sequences = min(microBatch, count - start)
      let room =
        sequences == microBatch && round < rooms.count
        ? rooms[round] : MicroBatch(sequences: sequences, length: sequenceLength)
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
