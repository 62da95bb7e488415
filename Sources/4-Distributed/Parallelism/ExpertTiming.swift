/// Recent times of a rank in a sparse layer. Ranks that share experts exchange them, so that experts of slower ranks
/// are shadowed more (``ShadowSelection``). No result depends on them.
public struct ExpertTiming: Sendable, Equatable {
  /// From the start of a block to its experts, for a micro-batch with tokens: microseconds.
  public var preExpert: Int32
  /// Per row of an expert: nanoseconds; 0 when not measured yet.
  public var row: Int32

  public init(preExpert: Int32, row: Int32) {
    self.preExpert = preExpert
    self.row = row
  }

  public static let unknown = ExpertTiming(preExpert: 0, row: 0)
}

/// Measures a rank's ``ExpertTiming`` in its forward passes, without the time spent waiting for other ranks.
struct ExpertTimer {
  private var preExpert = RecentRate()
  private var row = RecentRate()
  private var blockStarted = ContinuousClock.now
  // Of the micro-step in progress.
  private var seconds = 0.0
  private var rows = 0

  var timing: ExpertTiming {
    ExpertTiming(preExpert: Int32(clamping: preExpert.rounded(1e6)), row: Int32(clamping: row.rounded(1e9)))
  }

  mutating func beginBlock() { blockStarted = .now }

  /// Ends the pre-expert part of a block, of a micro-batch with or without rows.
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

/// An exponentially decayed rate: a ratio of sums over about the last 16 values. A value is clipped to twice the rate,
/// because a pause does not predict the next value.
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

  /// The rate in units of `1 / scale`, at least 1; 0 without values.
  func rounded(_ scale: Double) -> Int { count == 0 ? 0 : max(1, Int(min(rate * scale, 1e15))) }
}
