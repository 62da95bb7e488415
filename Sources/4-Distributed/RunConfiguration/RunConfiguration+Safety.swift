import ConfigurationFiles

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
        "is of spikes.z_score, which is not set; set it, or leave this out")
      maximumGradientNorm = try settings.optional(
        "maximum_gradient_norm", .number(.positive), without: "no such limit",
        "A larger gradient norm, before clipping, is bad; one that is not finite always is.")
    }
  }

  /// When a step is taken for hung.
  public struct Watchdog: Sendable {
    /// So many times the usual step time, and at least so many seconds. A factor of 0 waits for ever.
    public var factor: Double
    public var minimumSeconds: Double
    /// What is not a step (restoring, saving, validating, recording) may take so many seconds.
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
