extension ModelFamily {
  /// Qwen 2 and 2.5 (Yang et al. 2024): biases on queries, keys and values.
  public static let qwen2 = ModelFamily(
    name: "qwen2", architecture: "Qwen2ForCausalLM",
    defaults: Defaults(keyValueHeads: 32, maximumPositions: 32_768, window: 4096),
    nulls: Nulls(
      refused: ["head_dim", "max_window_layers"], defaulted: ["attention_dropout", "use_sliding_window"]),
    attentionBiases: .queryKeyValue,
    windows: WindowForm(hasSwitch: true, hasLayerTypes: true, firstLayer: 28))
}
