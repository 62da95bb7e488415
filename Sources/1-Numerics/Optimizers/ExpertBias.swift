import Kernels

/// Auxiliary-loss-free load balancing (DeepSeek-V3, arXiv 2412.19437, §2.1.2): a bias on the router's scores, decreased
/// for an overloaded expert and increased for an underloaded one. It takes part in the selection only, so it does not
/// enter the gradients.
public enum ExpertBias {
  /// Updates the biases of some of a layer's experts after an applied step: b_e ← b_e + rate · sign(mean load −
  /// load_e).
  ///
  /// Elements are independent and loads are integers, so the sharding of experts does not change a bit.
  ///
  /// - Parameters:
  ///   - bias: `[experts.count]`: the part of the tensor for `experts`.
  ///   - loads: `[experts of the layer]`: the tokens of the global batch routed to each.
  public static func update(_ bias: Buffer<Float>, of experts: Range<Int>, loads: some Collection<Int>, rate: Float) {
    precondition(bias.count == experts.count && experts.upperBound <= loads.count)
    let total = loads.reduce(0, +)
    for (index, load) in loads.dropFirst(experts.lowerBound).prefix(experts.count).enumerated() {
      bias[index] += rate * Float((total - load * loads.count).signum())
    }
  }
}
