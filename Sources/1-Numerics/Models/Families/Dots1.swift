extension ModelFamily {
  /// dots.llm1 (Huo et al. 2025): Qwen 3's attention, DeepSeek-V3's experts. transformers has no defaults for the
  /// numbers of experts.
  public static let dots1 = ModelFamily(
    name: "dots1", architecture: "Dots1ForCausalLM",
    defaults: Defaults(keyValueHeads: 32, maximumPositions: 2048, window: 4096),
    nulls: Nulls(
      refused: ["head_dim", "max_window_layers", "n_group", "topk_group", "first_k_dense_replace"],
      defaulted: ["attention_bias", "output_router_logits", "routed_scaling_factor"]),
    attentionBiases: .stated, queryKeyNorm: .head, windows: WindowForm(hasLayerTypes: true, firstLayer: 62),
    experts: ExpertForm(
      countKey: "n_routed_experts", otherCountKeys: ["num_local_experts"], router: .sigmoid, sparseLayers: .behindDense)
  )
}
