/// How much of a run's state each rank keeps (Rajbhandari et al. 2020, "ZeRO").
public enum ZeROStage: String, Sendable, CaseIterable {
  /// Every rank keeps all moments and makes every update.
  case none
  /// Moments and updates are sharded (ZeRO-1); parameters are gathered behind the next forward pass.
  case optimizer
  /// Parameters and gradient sums too (ZeRO-3): a unit is gathered before it is used and released after it.
  case full
}
