extension ModelFamily {
  /// OLMoE (Muennighoff et al. 2024): experts in every layer; queries and keys normalised over all heads together, and
  /// bounded, with values, by `clip_qkv`.
  public static let olmoe = ModelFamily(
    name: "olmoe", architecture: "OlmoeForCausalLM",
    defaults: Defaults(maximumPositions: 4096, normEpsilon: 1e-5, end: 50_279, padding: 1),
    nulls: Nulls(
      refused: ["head_dim", "num_experts", "num_experts_per_tok"],
      defaulted: [
        "attention_bias", "attention_dropout", "norm_topk_prob", "output_router_logits", "router_aux_loss_coef",
      ]),
    attentionBiases: .stated, queryKeyNorm: .projection, hasQueryKeyValueBound: true,
    experts: ExpertForm(
      countKey: "num_experts", folderCountKeys: ["num_local_experts"], count: 64, perToken: 8,
      widthKey: "intermediate_size", loadCoefficient: 0.01))
}
