import Datasets
import Kernels
import MPI
import Models
import Parallelism
import Placement
import Settings

/// The loss on documents that training never sees; the same bits at any rank count, as for training.
struct Validation {
  private let data: ValidationData
  private let loader: BatchLoader
  private let communicator: Communicator
  /// Sequences looked at each time.
  let sequences: Int

  /// nil when the configuration wants none or nothing was held out.
  init?(_ configuration: RunConfiguration, loader: BatchLoader, communicator: Communicator) throws {
    guard configuration.validation.every > 0 else { return nil }
    let settings = configuration.data
    if let sources = settings.validation {
      data = try ValidationData(
        sources: sources, sequenceLength: settings.sequenceLength, documentMask: settings.documentMask,
        vocabularySize: configuration.model.vocabularySize)
    } else {
      data = try ValidationData(
        heldOutOf: settings.train, sequenceLength: settings.sequenceLength, documentMask: settings.documentMask,
        vocabularySize: configuration.model.vocabularySize)
    }
    guard data.count > 0 else { return nil }
    sequences = min(data.count, configuration.validation.sequences)
    self.loader = loader
    self.communicator = communicator
  }

  /// Mean over the target tokens, nats. Collective.
  func loss(_ decoder: Decoder, _ state: ShardedState) throws -> Double {
    var sums: [Int64] = [0, 0, 0]
    let dealing = MicroBatchDealing(microBatches: loader.microBatches(of: sequences), ranks: communicator.size)
    let batches = loader.load(first: 0, count: sequences, dealing: dealing) {
      data.read(sequence: $0, tokens: $1, documentStarts: $2)
    }
    for batch in batches {
      state.beginRound(training: false, last: false)
      let result = try decoder.evaluate(batch, of: sequences * batch.length)
      sums[0] += result.loss ?? 0
      sums[1] += Int64(result.targets)
      sums[2] += result.loss == nil ? 1 : 0
    }
    try sums.withUnsafeMutableBufferPointer { try communicator.allReduce(arena: $0, .sum) }
    return sums[2] > 0 ? .nan : LossFixedPoint.decode(sums[0]) / Double(max(1, sums[1]))
  }
}
