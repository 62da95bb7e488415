import ConfigurationFiles

/// Handling of bad steps and hangs.
extension RunConfiguration {
  /// Loss-spike detection: losses and gradients that are too large or not finite.
  public struct Spikes: Sendable {
    public enum Policy: String, Sendable, CaseIterable {
      /// Skips the update and continues with the next batch.
      case skip
      /// Restores the last checkpoint and excludes the batch from the data.
      case rollback
    }

    public var policy: Policy
    /// The threshold of a loss spike, in standard deviations above the mean of the preceding losses; nil for none.
    public var zScore: Double?
    /// The number of losses in that mean.
    public var window: Int
    /// The max gradient norm before clipping; nil for no limit. A norm that is not finite is always bad.
    public var maximumGradientNorm: Double?

    public init(policy: Policy, zScore: Double?, window: Int, maximumGradientNorm: Double?) {
      self.policy = policy
      self.zScore = zScore
      self.window = window
      self.maximumGradientNorm = maximumGradientNorm
    }

    init(_ settings: SettingsReader) throws {
      policy = try settings.value(
        "policy", .choice, default: .skip,
        "What follows a bad step: `skip` leaves its update out, `rollback` returns to the last checkpoint and leaves its "
          + "batch out.")
      zScore = try settings.optional(
        "z_score", .number(.positive), without: "no such limit",
        "Loss spike: a loss so many standard deviations above the mean of the last ones is bad.")
      let (key, limit) = ("window", zScore)
      window = try settings.value(
        key, .integer(.atLeast(16, limit: 1 << 24)), default: 128, "Losses that the mean is of, in steps.")
      try settings.requireOfNewRuns(
        limit != nil || !settings.contains(key), key,
        "is of spikes.z_score, which is not set", hint: "set it, or leave this out")
      maximumGradientNorm = try settings.optional(
        "maximum_gradient_norm", .number(.positive), without: "no such limit",
        "A larger gradient norm, before clipping, is bad; one that is not finite always is.")
    }
  }

  /// Hang detection: the timeouts of the watchdog.
  public struct Watchdog: Sendable {
    /// Timeout of a step: a multiple of the usual step time, and at least some seconds. A factor of 0 disables it.
    public var factor: Double
    public var minimumSeconds: Double
    /// Timeout of all that is not a step (restoring, saving, validating, recording) and of the first two steps,
    /// seconds.
    public var pauseSeconds: Double

    init(_ settings: SettingsReader) throws {
      factor = try settings.value(
        "factor", .number(.atLeast(2, except: 0, isFinite: true)), default: 10,
        "Timeout of a step as a multiple of the usual step time; 0 waits for ever.")
      minimumSeconds = try settings.value(
        "minimum_seconds", .number(.atLeast(1, limit: 1e9)), default: 120, "Timeout of a step in seconds, at least.")
      pauseSeconds = try settings.value(
        "pause_seconds", .number(.atLeast(1, limit: 1e10)), default: 10 * minimumSeconds,
        words: "10 × `watchdog.minimum_seconds`",
        "Timeout in seconds of what is no step: the first two steps, restoring, validating, saving, recording.")
      let (pause, minimum) = (pauseSeconds, minimumSeconds)
      try settings.require(pause >= minimum, "pause_seconds", "must be at least minimum_seconds = \(minimum)")
    }
  }
}
