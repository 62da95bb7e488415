/// Activation recomputation (checkpointing): the activations of a block that are recomputed in the backward pass, with
/// the same bits, instead of kept (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").
///
/// Routing, and the rows that experts received from other ranks, are always kept: no row is sent twice.
public enum Recomputation: String, Sendable, CaseIterable {
  /// Nothing is recomputed.
  case none
  /// The attention layer's activations are recomputed: its norm, projections and scores.
  case attention
  /// All but a block's input is recomputed.
  case block
}
