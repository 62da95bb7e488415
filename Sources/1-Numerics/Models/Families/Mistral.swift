extension ModelFamily {
  /// Mistral 7B (Jiang et al. 2023): sliding windows. transformers reads one with `layer_types` as a ministral model,
  /// whose layers may differ.
  public static let mistral = ModelFamily(
    name: "mistral", architecture: "MistralForCausalLM",
    defaults: Defaults(keyValueHeads: 8, maximumPositions: 131_072, window: 4096, begin: 1, end: 2),
    nulls: Nulls(defaulted: ["attention_dropout"], spelledOut: ["num_key_value_heads"]),
    windows: WindowForm(hasLayerTypes: true), wrappers: ["mistral3"])
}
