extension ModelFamily {
  /// Llama 1 to 3 (Touvron et al. 2023, Grattafiori et al. 2024), and the many models of the same architecture.
  public static let llama = ModelFamily(
    name: "llama", architecture: "LlamaForCausalLM",
    defaults: Defaults(maximumPositions: 2048, begin: 1, end: 2),
    nulls: Nulls(defaulted: ["attention_bias", "mlp_bias"]),
    attentionBiases: .stated)
}
