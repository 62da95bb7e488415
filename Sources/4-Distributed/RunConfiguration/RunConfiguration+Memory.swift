import ConfigurationFiles
public import Models

extension RunConfiguration {
  public struct Memory: Sendable {
    /// Activation recomputation (checkpointing).
    public var recompute: Recomputation

    init(_ settings: SettingsReader) throws {
      recompute = try settings.value(
        "recompute", .choice, default: .none,
        "Activation recomputation (checkpointing), for less memory: the backward pass computes again a block's `attention` "
          + "layer, or all of a `block` but its input, with the same bits; `none` keeps everything. It may change between "
          + "two starts of a run.")
    }
  }
}
