/// How long a rank takes for its part of a sparse layer, lately: what ranks that share experts tell each other, so that
/// a slower one lends more of them (``ShadowSelection``). No result depends on it.
public struct ExpertTiming: Sendable, Equatable {
  /// From a block's beginning to its experts, with tokens: microseconds.
  public var preExpert: Int32
  /// For a row of an expert: nanoseconds; 0 when it has not been measured yet.
  public var row: Int32

  public init(preExpert: Int32, row: Int32) {
    self.preExpert = preExpert
    self.row = row
  }

  public static let unknown = ExpertTiming(preExpert: 0, row: 0)
}

/// Measures a rank's ``ExpertTiming`` in its forward passes. Waiting for others must not be measured.
struct ExpertTimer {
  private var preExpert = RecentRate()
  private var row = RecentRate()
  private var blockStarted = ContinuousClock.now
  // Of the round in progress.
  private var seconds = 0.0
  private var rows = 0

  var timing: ExpertTiming {
    ExpertTiming(preExpert: Int32(clamping: preExpert.rounded(1e6)), row: Int32(clamping: row.rounded(1e9)))
  }

  mutating func beginBlock() { blockStarted = .now }

  /// Begins a round, of a micro-batch with or without rows.
  mutating func reachExperts(rows own: Int) {
    if own > 0 { preExpert.add(Self.seconds(since: blockStarted), per: 1) }
    row.add(seconds, per: Double(rows))
    (seconds, rows) = (0, 0)
  }

  mutating func compute(_ count: Int, since start: ContinuousClock.Instant) {
    seconds += Self.seconds(since: start)
    rows += count
  }

  private static func seconds(since start: ContinuousClock.Instant) -> Double {
    start.duration(to: .now) / .seconds(1)
  }
}

/// A quotient of sums in which the last values weigh most: about the last 16. A value counts as twice the quotient at most,
/// because a pause says nothing about what comes next.
struct RecentRate {
  private static let kept = 1 - 1.0 / 16
  private var amount = 0.0
  private var count = 0.0
  var rate: Double { count > 0 ? amount / count : 0 }

  mutating func add(_ amount: Double, per count: Double) {
    guard count > 0, amount > 0 else { return }
    let most = self.count > 0 ? 2 * rate * count : amount
    self.amount = Self.kept * self.amount + min(amount, most)
    self.count = Self.kept * self.count + count
  }

  /// In whole units of which `scale` make one; at least 1 when there is any.
  func rounded(_ scale: Double) -> Int { count == 0 ? 0 : max(1, Int(min(rate * scale, 1e15))) }
}
