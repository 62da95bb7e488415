/// ZeRO stage: which state is sharded (Rajbhandari et al. 2020, "ZeRO").
public enum ZeROStage: String, Sendable, CaseIterable {
  /// No sharding: every rank has all moments and updates all parameters.
  case none
  /// ZeRO-1: moments and updates are sharded; parameters are gathered during the next forward pass.
  case optimizer
  /// ZeRO-3: parameters and gradient sums too; a unit is unsharded before its use and resharded after it.
  case full
}
