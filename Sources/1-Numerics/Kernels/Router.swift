/// The configuration of a router: how a token's logits become scores, selected experts and routing weights.
public struct Router: Sendable, Equatable {
  public enum Scoring: Sendable {
    /// exp(l) / Σ exp(l) over the experts.
    case softmax
    /// 1 / (1 + exp(−l)) for each expert by itself (DeepSeek-V3, arXiv 2412.19437, §2.1.2).
    case sigmoid
  }

  public var scoring: Scoring
  /// Whether a token's weights are divided by their sum.
  public var renormalise: Bool
  /// The factor of the weights (`routed_scaling_factor`).
  public var scalingFactor: Float
  /// Group-limited routing: experts are in `groups` groups of consecutive ones, and a token selects among the
  /// `groupsPerToken` groups whose two largest keys have the largest sums.
  public var groups: Int
  public var groupsPerToken: Int

  public init(
    scoring: Scoring, renormalise: Bool, scalingFactor: Float = 1, groups: Int = 1, groupsPerToken: Int = 1
  ) {
    self.scoring = scoring
    self.renormalise = renormalise
    self.scalingFactor = scalingFactor
    self.groups = groups
    self.groupsPerToken = groupsPerToken
  }
}
