import Foundation

/// How long a run takes and how it is cut into jobs.
public struct Schedule: Sendable, Equatable {
  /// Tokens to train on.
  public let tokens: Double
  /// Seconds of training alone, without saving and failures.
  public let trainingSeconds: Double
  /// Of one checkpoint, written by all ranks. Counted as if nothing were computed meanwhile, though
  /// only copying the state stops training: compressing takes processor time from the steps that it hides behind.
  public let saveSeconds: Double
  /// Between two checkpoints; nil when the run is over before the first is due.
  public let interval: Double?
  /// Steps between two checkpoints: a wish for `checkpoint.every`.
  public let stepsBetweenCheckpoints: Int?
  /// With saving, and with work that failures undo.
  public let seconds: Double
  public let tokensPerDay: Double
  public let coreHours: Double
  /// Jobs of the hours that were asked for, one after the other.
  public let jobs: Int

  /// - Parameters:
  ///   - tokens: nil for the configuration's steps.
  ///   - meanTimeBetweenFailures: of one node, seconds.
  ///   - jobSeconds: a job's time limit.
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

  /// What is beyond all reason is only very many.
  private static func whole(_ number: Double) -> Int { Int(min(1e15, number)) }

  /// The best time between checkpoints (Daly 2006, "A higher order estimate of the optimum checkpoint interval"; its
  /// first term is Young's, 1974), seconds.
  public static func interval(save: Double, meanTimeBetweenFailures mean: Double) -> Double {
    guard save < 2 * mean else { return mean }
    let ratio = save / (2 * mean)
    return (2 * save * mean).squareRoot() * (1 + ratio.squareRoot() / 3 + ratio / 9) - save
  }
}
