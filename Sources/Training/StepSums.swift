import MPI
import Models
import Objectives

/// What is summed over a step's micro-batches and ranks. Integers throughout, so that order does not matter.
struct StepSums {
  /// By term of the objective.
  private(set) var losses: [Int64]
  var auxiliaryLoss: Int64 = 0
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

  /// - Parameter objective: with the denominators of the global batch.
  init(_ configuration: ModelConfiguration, _ objective: NormalizedObjective, rank: Int, ranks: Int) {
    self.rank = rank
    losses = objective.denominators.map { _ in 0 }
    refusals = objective.overflows ? 1 : 0
    microseconds = Array(repeating: 0, count: ranks)
    microBatches = microseconds
    experts = configuration.experts?.count ?? 0
    loads = Array(repeating: 0, count: experts * configuration.sparseLayerCount)
  }

  mutating func add(_ result: MicroBatchResult) {
    if let found = result.losses, let auxiliary = result.auxiliaryLoss {
      for (term, loss) in found.enumerated() { losses[term] += loss }
      auxiliaryLoss += auxiliary
    } else {
      refusals += 1
    }
    for (place, load) in result.expertLoads.enumerated() { loads[place] += Int64(load) }
  }

  /// What one micro-batch took this rank, without waiting for others.
  mutating func add(seconds: Double) {
    microseconds[rank] += Int64(seconds * 1e6)
    microBatches[rank] += 1
  }

  mutating func reduce(over communicator: Communicator) throws {
    let ranks = microseconds.count
    var values = [auxiliaryLoss, refusals, stops, saves, exposedMicroseconds]
    let fixed = values.count
    values += microseconds + microBatches + losses + loads
    try values.withUnsafeMutableBufferPointer { try communicator.allReduce(arena: $0, .sum) }
    (auxiliaryLoss, refusals, stops) = (values[0], values[1], values[2])
    (saves, exposedMicroseconds) = (values[3], values[4])
    var rest = values[fixed...]
    func take(_ count: Int) -> [Int64] {
      defer { rest = rest.dropFirst(count) }
      return Array(rest.prefix(count))
    }
    microseconds = take(ranks)
    microBatches = take(ranks)
    losses = take(losses.count)
    loads = Array(rest)
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
