extension ModelFamily {
  /// Mixtral (Jiang et al. 2024): Mistral with experts in every layer.
  public static let mixtral = ModelFamily(
    name: "mixtral", architecture: "MixtralForCausalLM",
    defaults: Defaults(
      keyValueHeads: 8, maximumPositions: 131_072, normEpsilon: 1e-5, theta: 1_000_000, begin: 1, end: 2),
    nulls: Nulls(
      refused: ["num_local_experts", "num_experts_per_tok"],
      defaulted: ["attention_dropout", "output_router_logits", "router_aux_loss_coef", "router_jitter_noise"],
      spelledOut: ["num_key_value_heads"]),
    windows: WindowForm(),
    experts: ExpertForm(
      countKey: "num_local_experts", folderCountKeys: ["num_experts"], count: 8, perToken: 2,
      widthKey: "intermediate_size", router: .renormalisedSoftmax,
      names: ExpertForm.TensorNames(
        layer: "block_sparse_moe.", otherLayers: ["mlp."], gate: "w1", up: "w3", down: "w2")))
}
