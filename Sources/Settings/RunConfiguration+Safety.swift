import Configuration

/// What a run does about steps that went wrong.
extension RunConfiguration {
  /// Gradients and losses that are too large, or no numbers.
  public struct Spikes: Sendable {
    public enum Policy: String, Sendable, CaseIterable {
      /// The update is left out, and the run goes on with the next batch.
      case skip
      /// The run returns to its last checkpoint and leaves the batch out of its data.
      case rollback
    }

    public var policy: Policy
    /// A loss so many standard deviations above the mean of those before it is a spike; nil never is.
    public var zScore: Double?
    /// Losses that the mean is of.
    public var window: Int
    /// A gradient whose norm, before clipping, is larger is a spike; nil only when it is not finite.
    public var maximumGradientNorm: Double?

    public init(policy: Policy, zScore: Double?, window: Int, maximumGradientNorm: Double?) {
      self.policy = policy
      self.zScore = zScore
      self.window = window
      self.maximumGradientNorm = maximumGradientNorm
    }
  }

  /// When a step is taken for hung.
  public struct Watchdog: Sendable {
    /// So many times the usual step time, and at least so many seconds. A factor of 0 waits for ever.
    public var factor: Double
    public var minimumSeconds: Double
    /// What is not a step (restoring, saving, validating, recording) may take so many seconds.
    public var pauseSeconds: Double
  }

  static func spikes(_ section: ConfigurationSection?) throws -> Spikes {
    var spikes = Spikes(policy: .skip, zScore: nil, window: 128, maximumGradientNorm: nil)
    guard let section else { return spikes }
    if let policy: Spikes.Policy = try section.choice("policy") { spikes.policy = policy }
    if section.contains("z_score") { spikes.zScore = try section.positive("z_score") as Double }
    spikes.window = try section.positive("window", default: spikes.window, most: 1 << 24)
    guard spikes.window >= 16 else { throw section.error("window", "must be at least 16, but is \(spikes.window)") }
    if section.contains("maximum_gradient_norm") {
      spikes.maximumGradientNorm = try section.positive("maximum_gradient_norm") as Double
    }
    return spikes
  }

  static func watchdog(_ section: ConfigurationSection?) throws -> Watchdog {
    var watchdog = Watchdog(factor: 10, minimumSeconds: 120, pauseSeconds: 1200)
    guard let section else { return watchdog }
    watchdog.factor = try section.real("factor") ?? watchdog.factor
    guard watchdog.factor == 0 || watchdog.factor >= 2, watchdog.factor.isFinite else {
      throw section.error("factor", "must be at least 2, or 0 for no watchdog")
    }
    watchdog.minimumSeconds = try section.real("minimum_seconds", most: 1e9) ?? watchdog.minimumSeconds
    guard watchdog.minimumSeconds >= 1 else { throw section.error("minimum_seconds", "must be at least 1") }
    watchdog.pauseSeconds = try section.real("pause_seconds", most: 1e10) ?? 10 * watchdog.minimumSeconds
    guard watchdog.pauseSeconds >= watchdog.minimumSeconds else {
      throw section.error("pause_seconds", "must be at least minimum_seconds = \(watchdog.minimumSeconds)")
    }
    return watchdog
  }
}
