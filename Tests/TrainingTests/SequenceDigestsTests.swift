import Batches
import MPI
import Sharding
import Testing

@testable import Training

@Suite struct SequenceDigestsTests {
  /// The global batch's sequences, each of tokens of its own.
  private static let sequences = 9

  private static func microBatch(_ number: Int, of size: Int) -> TokenBatch {
    let first = number * size
    let batch = TokenBatch(sequences: min(size, sequences - first), length: 5)
    for sequence in 0..<batch.sequences {
      batch.set(sequence: sequence, tokens: (0..<6).map { Int32(100 * (first + sequence) + $0) })
    }
    return batch
  }

  /// Micro-batches assigned by the ranks' times for one; a rank may have none.
  @Test(arguments: [[1.0], [1, 1], [1, 3], [1, 1, 1], [1, 100, 2], [1, 1, 1, 1]], [1, 2, 4])
  func theBatchHasOneHashHoweverItIsDealt(seconds: [Double], size: Int) throws {
    let microBatches = (Self.sequences + size - 1) / size
    let assignment = MicroBatchAssignment(microBatches: microBatches, seconds: seconds)
    let found = try InProcessRanks.run(ranks: seconds.count) { communicator in
      var digests = SequenceDigests(sequences: Self.sequences)
      for number in assignment.microBatches(of: communicator.rank) {
        digests.add(Self.microBatch(number, of: size), first: number * size)
      }
      try digests.words.withUnsafeMutableBufferPointer { try communicator.allReduce(arena: $0, .sum) }
      return digests.batch
    }
    let whole = Self.microBatch(0, of: Self.sequences)
    let expected = TokenBatch.digest(of: (0..<Self.sequences).map { whole.digest(ofSequence: $0) })
    #expect(found.allSatisfy { $0 == expected })
  }
}
