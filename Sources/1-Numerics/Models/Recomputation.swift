/// Activation recomputation (checkpointing): what of a block's activations is not kept for the backward pass but computed a
/// second time there, with the same bits. (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".)
///
/// What experts received from other ranks, and how tokens were routed, is always kept: no row travels twice.
public enum Recomputation: String, Sendable, CaseIterable {
  /// Everything is kept.
  case none
  /// The attention layer's activations are computed again: its norm, its projections, its scores.
  case attention
  /// All but a block's input is computed again.
  case block
}
