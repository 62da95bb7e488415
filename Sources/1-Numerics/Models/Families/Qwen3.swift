extension ModelFamily {
  /// Qwen 3 (Yang et al. 2025), dense: queries and keys normalised head by head.
  public static let qwen3 = ModelFamily(
    name: "qwen3", architecture: "Qwen3ForCausalLM",
    defaults: Defaults(keyValueHeads: 32, headDimension: 128, maximumPositions: 32_768, window: 4096),
    nulls: Nulls(
      refused: ["head_dim", "max_window_layers"],
      defaulted: ["attention_bias", "attention_dropout", "use_sliding_window"]),
    attentionBiases: .stated, queryKeyNorm: .head,
    windows: WindowForm(hasSwitch: true, hasLayerTypes: true, firstLayer: 28))
}
