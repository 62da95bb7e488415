/// The predicted time of a step, broken down by part, seconds.
public struct StepTime: Sendable, Equatable {
  public var embedding = 0.0
  /// Projections, norms, the router, and dense feed-forward layers or shared experts.
  public var layers = 0.0
  /// Attention scores.
  public var attention = 0.0
  public var experts = 0.0
  public var crossEntropy = 0.0
  /// Activation recomputation.
  public var recomputation = 0.0
  /// Accumulation of gradients into exact sums.
  public var accumulation = 0.0
  /// Zeroing of sums, norm, update.
  public var optimizer = 0.0
  /// Waiting for parameters.
  public var gather = 0.0
  /// Waiting for gradient sums.
  public var reduction = 0.0
  /// Waiting for token dispatch and return.
  public var dispatch = 0.0
  /// Waiting for ranks whose experts have more rows.
  public var imbalance = 0.0
  /// Slowdown of computation because communication uses its cores.
  public var sharedCores = 0.0
  /// All-reduces at the end of a step.
  public var collectives = 0.0

  public var parts: [(name: String, seconds: Double)] {
    [
      ("embedding", embedding), ("projections, norms, router", layers), ("attention scores", attention),
      ("experts", experts), ("cross-entropy", crossEntropy),
      ("recomputation", recomputation), ("exact accumulation", accumulation),
      ("optimizer", optimizer), ("waiting for parameters", gather), ("waiting for gradient sums", reduction),
      ("waiting for rows", dispatch), ("uneven experts", imbalance), ("cores shared with communication", sharedCores),
      ("sums over ranks", collectives),
    ]
  }

  public var total: Double { parts.reduce(0) { $0 + $1.seconds } }
  /// The time of computation alone, without communication.
  public var computation: Double {
    embedding + layers + attention + experts + crossEntropy + recomputation + accumulation + optimizer
  }
}
