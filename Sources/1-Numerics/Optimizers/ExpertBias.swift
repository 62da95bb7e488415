import Kernels

/// Load balancing without a loss (DeepSeek-V3, arXiv 2412.19437, §2.1.2): an expert that had more than its share of the
/// tokens becomes a little harder to select, one that had less a little easier. The bias takes part in the selection only,
/// so it leaves no trace in the gradients.
public enum ExpertBias {
  /// b_e ← b_e + rate · sign(mean load − load_e), for some of a layer's experts, after a step that was applied.
  ///
  /// Elements are independent and loads whole numbers, so how experts are dealt to owners does not change a bit.
  ///
  /// - Parameters:
  ///   - bias: `[experts.count]`: the part of the tensor that belongs to `experts`.
  ///   - loads: `[experts of the layer]`: the tokens of the global batch that chose each.
  public static func update(_ bias: Buffer<Float>, of experts: Range<Int>, loads: some Collection<Int>, rate: Float) {
    precondition(bias.count == experts.count && experts.upperBound <= loads.count)
    let total = loads.reduce(0, +)
    for (index, load) in loads.dropFirst(experts.lowerBound).prefix(experts.count).enumerated() {
      bias[index] += rate * Float((total - load * loads.count).signum())
    }
  }
}
