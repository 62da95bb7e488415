/// When experts of busy ranks are shadowed on less busy ranks that share the layer's experts.
public enum ExpertShadowing: String, Sendable, CaseIterable {
  /// Within one node, when the rows saved outweigh a copy of the expert.
  case auto
  /// Whenever it improves the balance.
  case always
  case never
}
