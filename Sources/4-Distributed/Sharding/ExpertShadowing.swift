/// When a rank lends experts to less busy ones of those that share a layer's experts.
public enum ExpertShadowing: String, Sendable, CaseIterable {
  /// Among ranks of one node, when enough rows are moved to be worth a copy of the expert.
  case auto
  /// Whenever it makes the ranks more evenly busy.
  case always
  case never
}
