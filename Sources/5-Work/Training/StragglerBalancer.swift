import Sharding

/// Deals micro-batches in proportion to how fast ranks are, once one is clearly slower than the others.
///
/// All ranks see the same measurements, so all deal alike. A slow rank may have a hot or busy machine, an older CPU, or
/// neighbours; who computes a micro-batch leaves no trace in the result.
struct StragglerBalancer {
  /// The share of a step's time that an uneven dealing must save to be worth it: measurements waver.
  private static let worthwhile = 0.1
  /// Steps that a rank's speed is the median of.
  private static let window = 8
  /// How much slower than the median rank is told.
  private static let slowFactor = 1.3

  private let microBatches: Int
  private let ranks: Int
  let isAutomatic: Bool
  private var history: [[Double]]
  private(set) var dealing: MicroBatchAssignment
  private var even: MicroBatchAssignment { MicroBatchAssignment(microBatches: microBatches, ranks: ranks) }
  /// Whether all ranks get the same number, as far as possible.
  var isEven: Bool { dealing == even }
  /// Whether a rank gets less than its even share.
  func hasLess(_ rank: Int) -> Bool { dealing.counts[rank] < even.counts[rank] }
  /// Ranks that are slow now, and how much slower than the median rank.
  private(set) var stragglers: [Int: Double] = [:]

  init(microBatches: Int, ranks: Int, isAutomatic: Bool) {
    self.microBatches = microBatches
    self.ranks = ranks
    self.isAutomatic = isAutomatic
    history = Array(repeating: [], count: ranks)
    dealing = MicroBatchAssignment(microBatches: microBatches, ranks: ranks)
  }

  /// - Parameter secondsPerMicroBatch: of the last step, by rank; nil for a rank that had no micro-batch.
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
    // A new dealing must also beat the present one, or ranks would trade places for ever.
    if wanted.duration(seconds) < (1 - Self.worthwhile) * dealing.duration(seconds) || !isBetter { dealing = wanted }
    // A rank that gets nothing is not measured any more: what is known of it must fade, so that it is tried again.
    for rank in 0..<ranks where dealing.counts[rank] == 0 && even.counts[rank] > 0 {
      history[rank] = history[rank].map { usual + 0.98 * ($0 - usual) }
    }
  }

  /// The lower one of the two in the middle: of two ranks, the fast one is the usual.
  private static func median(_ values: [Double]) -> Double { values.sorted()[(values.count - 1) / 2] }
}
