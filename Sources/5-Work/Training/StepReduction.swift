import MPI
import Models
import Objectives
import Parallelism

/// The reduction of a step's sums over micro-batches and ranks, all integers, so that their order does not matter.
struct StepReduction {
  /// The loss sums by term of the objective.
  private(set) var losses: [Int64]
  var auxiliaryLoss: Int64 = 0
  var overflowCount: Int64 = 0
  var stops: Int64 = 0
  var saves: Int64 = 0
  var exposedCommunicationMicroseconds: Int64 = 0
  /// By rank, the time and number of its micro-batches.
  private var microseconds: [Int64]
  private var microBatches: [Int64]
  /// Tokens per expert, `[sparse layers · experts]`.
  private var loads: [Int64]
  /// The digests of the global batch's sequences.
  var digests: SequenceDigests
  private let rank: Int
  private let experts: Int

  /// - Parameters:
  ///   - objective: with the denominators of the global batch.
  ///   - sequences: of the global batch; 0 to omit its hash.
  init(_ configuration: ModelConfiguration, _ objective: NormalizedObjective, mesh: ProcessMesh, sequences: Int = 0) {
    digests = SequenceDigests(sequences: sequences)
    rank = mesh.batch.rank
    losses = objective.denominators.map { _ in 0 }
    overflowCount = objective.overflows ? 1 : 0
    microseconds = Array(repeating: 0, count: mesh.batch.size)
    microBatches = microseconds
    experts = configuration.experts?.count ?? 0
    loads = Array(repeating: 0, count: experts * configuration.sparseLayerCount)
  }

  mutating func add(_ result: MicroBatchResult) {
    if let found = result.losses, let auxiliary = result.auxiliaryLoss {
      for (term, loss) in found.enumerated() { losses[term] += loss }
      auxiliaryLoss += auxiliary
    } else {
      overflowCount += 1
    }
    for (place, load) in result.expertLoads.enumerated() { loads[place] += Int64(load) }
  }

  /// Adds the time of one micro-batch of this rank, without exposed communication.
  mutating func add(seconds: Double) {
    microseconds[rank] += Int64(seconds * 1e6)
    microBatches[rank] += 1
  }

  /// All-reduces the sums. Collective.
  ///
  /// Computed values are summed over the ranks of the batch group, measurements and requests over all ranks.
  ///
  /// - Throws: `MPIError`.
  mutating func reduce(over mesh: ProcessMesh) throws {
    var computed = [auxiliaryLoss, overflowCount] + losses + loads + digests.words
    var values = [stops, saves, exposedCommunicationMicroseconds] + microseconds + microBatches
    if mesh.batch.size == mesh.world.size {
      let count = computed.count
      computed += values
      try computed.withUnsafeMutableBufferPointer { try mesh.world.allReduce(arena: $0, .sum) }
      values = Array(computed[count...])
      computed.removeLast(values.count)
    } else {
      try computed.withUnsafeMutableBufferPointer { try mesh.batch.allReduce(arena: $0, .sum) }
      try values.withUnsafeMutableBufferPointer { try mesh.world.allReduce(arena: $0, .sum) }
    }
    (auxiliaryLoss, overflowCount) = (computed[0], computed[1])
    losses = Array(computed[2..<2 + losses.count])
    loads = Array(computed[2 + losses.count..<2 + losses.count + loads.count])
    digests.words = Array(computed.suffix(digests.words.count))
    (stops, saves, exposedCommunicationMicroseconds) = (values[0], values[1], values[2])
    let ranks = microseconds.count
    microseconds = Array(values[3..<3 + ranks])
    microBatches = Array(values[(3 + ranks)...])
  }

  /// The mean seconds per micro-batch by rank; nil for a rank without one.
  var secondsPerMicroBatch: [Double?] {
    zip(microseconds, microBatches).map { microseconds, microBatches -> Double? in
      guard microBatches > 0 else { return nil }
      return Double(microseconds) / 1e6 / Double(microBatches)
    }
  }

  /// `[sparse layers][experts]`
  var expertLoads: [[Int]] {
    guard experts > 0 else { return [] }
    return stride(from: 0, to: loads.count, by: experts).map { loads[$0..<$0 + experts].map { Int($0) } }
  }
}
