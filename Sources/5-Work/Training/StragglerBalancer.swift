import Sharding

/// Straggler balancing: assigns micro-batches in proportion to the speed of ranks, once one is clearly slower than the
/// others.
///
/// All ranks have the same measurements, so all make the same assignment, which does not change the results. A slow
/// rank may have a hot or busy machine, an older CPU, or other jobs on its node.
struct StragglerBalancer {
  /// The min share of a step's time that an uneven assignment must save, because measurements are noisy.
  private static let worthwhile = 0.1
  /// The number of steps in the median of a rank's speed.
  private static let window = 8
  /// The time relative to the median rank above which a rank is reported as slow.
  private static let slowFactor = 1.3

  private let microBatches: Int
  private let ranks: Int
  let isAutomatic: Bool
  private var history: [[Double]]
  private(set) var assignment: MicroBatchAssignment
  private var even: MicroBatchAssignment { MicroBatchAssignment(microBatches: microBatches, ranks: ranks) }
  /// Whether the assignment is even.
  var isEven: Bool { assignment == even }
  /// Whether a rank gets less than its even share.
  func hasLess(_ rank: Int) -> Bool { assignment.counts[rank] < even.counts[rank] }
  /// The slow ranks, with their time relative to the median rank.
  private(set) var stragglers: [Int: Double] = [:]

  init(microBatches: Int, ranks: Int, isAutomatic: Bool) {
    self.microBatches = microBatches
    self.ranks = ranks
    self.isAutomatic = isAutomatic
    history = Array(repeating: [], count: ranks)
    assignment = MicroBatchAssignment(microBatches: microBatches, ranks: ranks)
  }

  /// Records the times of a step, and updates the assignment.
  ///
  /// - Parameter secondsPerMicroBatch: of the last step, by rank; nil for a rank without a micro-batch.
  mutating func record(secondsPerMicroBatch: [Double?]) {
    for (rank, seconds) in secondsPerMicroBatch.enumerated() {
      guard let seconds else { continue }
      history[rank].append(max(seconds, 1e-6))
      if history[rank].count > Self.window { history[rank].removeFirst() }
    }
    let known = history.filter { !$0.isEmpty }.map(Self.median)
    guard ranks > 1, !known.isEmpty else { return }
    let usual = Self.median(known)
    let seconds = history.map { $0.isEmpty ? usual : Self.median($0) }
    let isSettled = history.allSatisfy { $0.isEmpty || $0.count >= Self.window }
    guard isSettled else { return }
    stragglers = Dictionary(
      uniqueKeysWithValues: seconds.enumerated().filter { $1 > Self.slowFactor * usual }.map { ($0, $1 / usual) })
    guard isAutomatic else { return }
    let balanced = MicroBatchAssignment(microBatches: microBatches, seconds: seconds)
    let isBetter = balanced.duration(seconds) < (1 - Self.worthwhile) * even.duration(seconds)
    let wanted = isBetter ? balanced : even
    // A new assignment must also beat the current one, to prevent oscillation.
    if wanted.duration(seconds) < (1 - Self.worthwhile) * assignment.duration(seconds) || !isBetter {
      assignment = wanted
    }
    // A rank without micro-batches is not measured: its history decays, so that it is tried again.
    for rank in 0..<ranks where assignment.counts[rank] == 0 && even.counts[rank] > 0 {
      history[rank] = history[rank].map { usual + 0.98 * ($0 - usual) }
    }
  }

  /// The lower median, so that of two ranks the faster one is the reference.
  private static func median(_ values: [Double]) -> Double { values.sorted()[(values.count - 1) / 2] }
}
