import Batches
import MPI
import Objectives

extension NormalizedObjective {
  /// An objective with the denominators of a global batch, reduced over ranks. Collective.
  ///
  /// - Parameters:
  ///   - batches: this rank's micro-batches of the global batch.
  ///   - microBatches: the number of micro-batches of the global batch.
  /// - Throws: `MPIError`.
  init(
    _ objective: any Objective, of batches: [TokenBatch], microBatches: Int, over communicator: Communicator
  ) throws {
    let own = Self.denominators(objective, of: batches, microBatches: microBatches)
    var sums = own.flatMap { [$0.count, $0.weight, $0.overflowCount] }
    try sums.withUnsafeMutableBufferPointer { try communicator.allReduce(arena: $0, .sum) }
    self.init(
      objective,
      denominators: own.indices.map {
        LossDenominator(count: sums[3 * $0], weight: sums[3 * $0 + 1], overflowCount: sums[3 * $0 + 2])
      })
  }
}
