extension ModelFamily {
  /// Ministral 3 (Mistral AI 2025): YaRN, and queries scaled by position beyond the original context length.
  public static let ministral3 = ModelFamily(
    name: "ministral3", architecture: "Ministral3ForCausalLM",
    defaults: Defaults(
      keyValueHeads: 8, headDimension: 128, maximumPositions: 262_144, normEpsilon: 1e-5,
      rotary: RotaryConfiguration(
        theta: 1_000_000,
        scaling: .yarn(
          factor: 16, betaFast: 32, betaSlow: 1, originalPositions: 16_384, attentionFactor: 1, truncate: true),
        queryScale: RotaryConfiguration.QueryScale(beta: 0.1, originalPositions: 16_384)),
      begin: 1, end: 2, padding: 11),
    nulls: Nulls(refused: ["num_key_value_heads", "head_dim"], defaulted: ["attention_dropout"]),
    hasQueryScale: true, windows: WindowForm(), wrappers: ["mistral3"])
}
