extension ModelFamily {
  /// Qwen 3 (Yang et al. 2025) with experts.
  public static let qwen3MoE = ModelFamily(
    name: "qwen3_moe", architecture: "Qwen3MoeForCausalLM",
    defaults: Defaults(keyValueHeads: 4, maximumPositions: 32_768, window: 4096),
    nulls: Nulls(
      refused: [
        "num_key_value_heads", "head_dim", "num_experts", "num_experts_per_tok", "moe_intermediate_size",
        "decoder_sparse_step",
      ],
      defaulted: [
        "attention_bias", "attention_dropout", "use_sliding_window", "norm_topk_prob", "output_router_logits",
        "router_aux_loss_coef",
      ]),
    attentionBiases: .stated, queryKeyNorm: .head, windows: WindowForm(hasSwitch: true),
    experts: ExpertForm(
      countKey: "num_experts", otherCountKeys: ["num_local_experts"], count: 128, perToken: 8, sparseLayers: .step),
    idleKeys: ["max_window_layers"])
}
