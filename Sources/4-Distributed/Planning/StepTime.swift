/// The predicted time of a step, by what it is spent on, seconds.
public struct StepTime: Sendable, Equatable {
  public var embedding = 0.0
  /// Projections, norms, the router, and dense feed-forward layers or shared experts.
  public var layers = 0.0
  /// Attention's scores.
  public var attention = 0.0
  public var experts = 0.0
  public var crossEntropy = 0.0
  /// Activations that are computed a second time.
  public var recomputation = 0.0
  /// Gradients into exact sums.
  public var accumulation = 0.0
  /// Zeroing of sums, norm, update.
  public var optimizer = 0.0
  /// Waiting for parameters.
  public var gather = 0.0
  /// Waiting for gradient sums.
  public var reduction = 0.0
  /// Waiting for rows that travel to experts and back.
  public var dispatch = 0.0
  /// Waiting for ranks whose experts have more rows, or that were held up.
  public var imbalance = 0.0
  /// Computation that is slower because communication uses its cores.
  public var sharedCores = 0.0
  /// Sums over all ranks at the end of a step.
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
  /// What one rank alone would take for its share.
  public var backend: Double {
    embedding + layers + attention + experts + crossEntropy + recomputation + accumulation + optimizer
  }
}
