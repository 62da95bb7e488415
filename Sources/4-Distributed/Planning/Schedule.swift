import Foundation

/// The schedule of a run: its duration, checkpoint interval and number of jobs.
public struct Schedule: Sendable, Equatable {
  /// Tokens to train on.
  public let tokens: Double
  /// Seconds of training alone, without saving and failures.
  public let trainingSeconds: Double
  /// Time of one checkpoint, written by all ranks, seconds. Counted as a stall, though only copying the state stalls
  /// training: compression takes processor time from the steps that it overlaps.
  public let saveSeconds: Double
  /// Seconds between two checkpoints; nil when the run ends before the first is due.
  public let interval: Double?
  /// Steps between two checkpoints: a suggestion for `checkpoint.every`.
  public let stepsBetweenCheckpoints: Int?
  /// Seconds with saving, and with work lost to failures.
  public let seconds: Double
  public let tokensPerDay: Double
  public let coreHours: Double
  /// The number of consecutive jobs within their time limit.
  public let jobs: Int

  /// - Parameters:
  ///   - tokens: to train on.
  ///   - meanTimeBetweenFailures: of one node, seconds.
  ///   - jobSeconds: time limit of a job.
  public init(
    tokens: Double, tokensPerStep: Int, stepSeconds: Double, saveSeconds: Double, cluster: Cluster,
    meanTimeBetweenFailures: Double, jobSeconds: Double
  ) {
    self.tokens = tokens
    self.saveSeconds = saveSeconds
    trainingSeconds = (tokens / Double(tokensPerStep)).rounded(.up) * stepSeconds
    let failures = meanTimeBetweenFailures / Double(cluster.nodes)
    let best = Self.interval(save: saveSeconds, meanTimeBetweenFailures: failures)
    // At least one at the end of every job.
    let interval = min(best, jobSeconds)
    self.interval = interval < trainingSeconds ? interval : nil
    stepsBetweenCheckpoints = self.interval.map { max(1, Self.whole($0 / stepSeconds)) }
    // A failure costs half an interval on average, and reading the last checkpoint.
    let saving = saveSeconds / interval
    let lost = (interval / 2 + saveSeconds) / failures
    seconds = trainingSeconds * (1 + saving) / max(0.01, 1 - lost)
    tokensPerDay = tokens / seconds * 86400
    coreHours = seconds / 3600 * Double(cluster.ranks * cluster.threads)
    jobs = max(1, Self.whole((seconds / max(1, jobSeconds - 2 * saveSeconds)).rounded(.up)))
  }

  /// Converts to an integer, clamped to avoid overflow.
  private static func whole(_ number: Double) -> Int { Int(min(1e15, number)) }

  /// The optimal checkpoint interval (Daly 2006, "A higher order estimate of the optimum checkpoint interval"; its
  /// first term is Young's, 1974), seconds.
  public static func interval(save: Double, meanTimeBetweenFailures mean: Double) -> Double {
    guard save < 2 * mean else { return mean }
    let ratio = save / (2 * mean)
    return (2 * save * mean).squareRoot() * (1 + ratio.squareRoot() / 3 + ratio / 9) - save
  }
}
