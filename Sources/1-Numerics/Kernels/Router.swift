/// How a router makes experts and weights of a token's logits: a score for each expert, a choice by score, and weights
/// from the scores of the chosen.
public struct Router: Sendable, Equatable {
  public enum Scoring: Sendable {
    /// exp(l) / Σ exp(l): the experts of a token compete.
    case softmax
    /// 1 / (1 + exp(−l)): every expert is judged by itself (DeepSeek-V3, arXiv 2412.19437, §2.1.2).
    case sigmoid
  }

  public var scoring: Scoring
  /// Whether a token's weights are divided by their sum.
  public var renormalise: Bool
  /// What the weights are multiplied with in the end.
  public var scalingFactor: Float
  /// Experts stand in `groups` groups of neighbours, and a token chooses within its best `groupsPerToken` of them; a
  /// group is as good as its two best experts together.
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
