import MPI
import Models

/// What is summed over a step's micro-batches and ranks. Integers throughout, so that order does not matter.
struct StepSums {
  var loss: Int64 = 0
  var auxiliaryLoss: Int64 = 0
  var targets: Int64 = 0
  var refusals: Int64 = 0
  var stops: Int64 = 0
  var saves: Int64 = 0
  var exposedMicroseconds: Int64 = 0
  /// By rank, what its micro-batches took, and their number.
  private var microseconds: [Int64]
  private var microBatches: [Int64]
  /// Tokens per expert, `[sparse layers · experts]`.
  private var loads: [Int64]
  private let rank: Int
  private let experts: Int

  init(_ configuration: ModelConfiguration, rank: Int, ranks: Int) {
    self.rank = rank
    microseconds = Array(repeating: 0, count: ranks)
    microBatches = microseconds
    experts = configuration.experts?.count ?? 0
    loads = Array(repeating: 0, count: experts * configuration.sparseLayerCount)
  }

  mutating func add(_ result: MicroBatchResult, _ decoder: Decoder) {
    targets += Int64(result.targets)
    if let loss = result.loss, let auxiliary = result.auxiliaryLoss {
      self.loss += loss
      auxiliaryLoss += auxiliary
    } else {
      refusals += 1
    }
    var place = 0
    for layer in 0..<decoder.configuration.layers {
      for load in decoder.expertLoads(layer: layer) {
        loads[place] += Int64(load)
        place += 1
      }
    }
  }

  /// What one micro-batch took this rank, without waiting for others.
  mutating func add(seconds: Double) {
    microseconds[rank] += Int64(seconds * 1e6)
    microBatches[rank] += 1
  }

  mutating func reduce(over communicator: Communicator) throws {
    let ranks = microseconds.count
    var values = [loss, auxiliaryLoss, targets, refusals, stops, saves, exposedMicroseconds]
    let fixed = values.count
    values += microseconds + microBatches + loads
    try values.withUnsafeMutableBufferPointer { try communicator.allReduce(arena: $0, .sum) }
    (loss, auxiliaryLoss, targets) = (values[0], values[1], values[2])
    (refusals, stops, saves, exposedMicroseconds) = (values[3], values[4], values[5], values[6])
    microseconds = Array(values[fixed..<fixed + ranks])
    microBatches = Array(values[fixed + ranks..<fixed + 2 * ranks])
    loads = Array(values[(fixed + 2 * ranks)...])
  }

  /// By rank; nil for one that had no micro-batch.
  var secondsPerMicroBatch: [Double?] {
    zip(microseconds, microBatches).map { $1 > 0 ? Double($0) / 1e6 / Double($1) : nil }
  }

  /// `[sparse layers][experts]`
  var expertLoads: [[Int]] {
    guard experts > 0 else { return [] }
    return stride(from: 0, to: loads.count, by: experts).map { loads[$0..<$0 + experts].map { Int($0) } }
  }
}
