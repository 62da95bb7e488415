public import ConfigurationFiles

/// The declaration of a key of a `config.json` that this decoder reads.
struct ModelKey: Sendable {
  let declaration: SettingDeclaration
  /// Whether a run's `model:` section may set it beside `from`, where it overrides the folder's value.
  let isRunsChoice: Bool

  init(
    _ key: String, _ form: SettingForm, default standard: SettingDeclaration.Default,
    isRunsChoice: Bool = false, _ summary: String
  ) {
    let names = ModelFamily.all.filter { $0.keys.contains(key) }.map(\.name)
    let some = names.isEmpty || names.count == ModelFamily.all.count ? "" : " Of \(names.joined(separator: ", "))."
    declaration = SettingDeclaration(key, form, default: standard, summary + some)
    self.isRunsChoice = isRunsChoice
  }

  var key: String { declaration.key }
}

extension ModelConfiguration {
  static let declaredKeys: [ModelKey] = shapeKeys + attentionKeys + tokenKeys + expertKeys + routerKeys

  /// Keys of a `config.json` that this decoder reads.
  public static let keys: Set<String> = Set(declaredKeys.map(\.key))

  /// Keys that some families have and others do not: the union of `ModelFamily.keys`.
  static let familyKeys: Set<String> = ModelFamily.all.reduce(into: []) { $0.formUnion($1.keys) }

  /// The declarations of all keys.
  public static var declarations: [SettingDeclaration] { declaredKeys.map(\.declaration) }

  /// The declarations of the keys that a run may override for a model from a folder.
  public static var runsChoices: [SettingDeclaration] { declaredKeys.filter(\.isRunsChoice).map(\.declaration) }

  /// Keys that do not change what is computed here; they are accepted and ignored.
  public static let ignoredKeys: [String] = [
    "_name_or_path", "architectures", "attn_implementation", "auto_map", "chunk_size_feed_forward", "default_theta",
    "dtype", "id2label", "is_encoder_decoder", "label2id", "output_attentions", "output_hidden_states",
    "pretraining_tp", "problem_type", "return_dict", "router_jitter_noise", "torch_dtype", "transformers_version",
    "unk_token_id", "use_cache",
  ]

  // MARK: The table

  private static let integer = SettingForm.integer(.any)
  private static let number = SettingForm.number(.any)
  private static let byFamily = SettingDeclaration.Default.words("by family, as in transformers")
  private static let none = SettingDeclaration.Default.words("none")
  private static let off = SettingDeclaration.Default.value(.boolean(false))

  /// A key's defaults by family: `28 in qwen2 and qwen3; 62 in dots1`.
  private static func standards(_ value: (ModelFamily) -> Int?) -> String {
    let names = Dictionary(grouping: ModelFamily.all) { value($0) }
    return names.compactMap { value, families in value.map { (value: $0, names: families.map(\.name)) } }
      .sorted { $0.value < $1.value }.map { "\($0.value) in \($0.names.joinedAsWords)" }.joined(separator: "; ")
  }

  private static func standardCount(_ key: String) -> String {
    standards { $0.experts?.countKey == key ? $0.experts?.count : nil }
  }

  private static let sparseByIntermediateSize =
    ModelFamily.all.filter { $0.experts?.widthKey == "intermediate_size" }.map(\.name)

  private static let shapeKeys: [ModelKey] = [
    ModelKey(
      "model_type", .choice(ModelFamily.all.map(\.name)), default: .value(.string(ModelFamily.llama.name)),
      "The model family."),
    ModelKey("vocab_size", integer, default: .required, "Tokens in the vocabulary."),
    ModelKey("hidden_size", integer, default: .required, "Width of the residual stream."),
    ModelKey(
      "intermediate_size", integer, default: .required,
      "Hidden width of a dense feed-forward layer; in \(sparseByIntermediateSize.joinedAsWords) that of an expert."),
    ModelKey("num_hidden_layers", integer, default: .required, "Decoder layers."),
    ModelKey(
      "hidden_act", .choice(["silu", "swish"]), default: .words("silu"), "Activation function: SiLU, by either name."),
    ModelKey("rms_norm_eps", number, default: byFamily, "Epsilon of RMSNorm."),
    ModelKey(
      "initializer_range", number, default: .value(.number(0.02)),
      "Standard deviation of the initial weights' normal distribution."),
    ModelKey(
      "tie_word_embeddings", .boolean, default: off, "Whether the language-model head shares the embedding's weights."),
  ]

  private static let attentionKeys: [ModelKey] = [
    ModelKey("num_attention_heads", integer, default: .required, "Attention heads, of the queries."),
    ModelKey(
      "num_key_value_heads", integer, default: byFamily,
      "Key-value heads of grouped-query attention; null has as many as there are attention heads."),
    ModelKey(
      "head_dim", integer,
      default: .words("`hidden_size` / `num_attention_heads`; \(standards { $0.defaults.headDimension })"),
      "Dimension of an attention head."),
    ModelKey(
      "max_position_embeddings", integer, default: byFamily,
      "Context length: the most tokens in a sequence that the model is made for."),
    ModelKey("rope_theta", number, default: byFamily, "Base of the rotary position embedding."),
    ModelKey(
      "rope_scaling", .mapping, default: none,
      "Scaling of the rotary position embedding (`rope_type`: default, llama3 or yarn), as transformers 4 writes it."),
    ModelKey(
      "rope_parameters", .mapping, default: none, "The same with `rope_theta` in it, as transformers 5 writes it."),
    ModelKey(
      "sliding_window", integer, default: byFamily,
      "Tokens that a position attends to in a layer of sliding-window attention, itself included; null for all."),
    ModelKey(
      "use_sliding_window", .boolean, default: off, "Whether `sliding_window` counts."),
    ModelKey(
      "max_window_layers", integer, default: .words(standards { $0.windows?.firstLayer }),
      "The first layer with sliding-window attention where `layer_types` does not say."),
    ModelKey(
      "layer_types", .list(.choice(["full_attention", "sliding_attention"]), count: nil),
      default: .words("by `max_window_layers`"), "Attention of each layer."),
    ModelKey(
      "attention_bias", .boolean, default: off,
      "Whether the query, key, value and output projections have biases."),
    ModelKey(
      "clip_qkv", number, default: none,
      "Bound of the elements of queries, keys and values, to which larger ones are clamped; null for none."),
    ModelKey("mlp_bias", .boolean, default: off, "Biases of feed-forward layers, which are not supported: false."),
    ModelKey("attention_dropout", number, default: .value(.integer(0)), "Dropout, which is not supported: 0."),
    ModelKey("quantization_config", .mapping, default: none, "Quantization, which is not supported: null."),
  ]

  private static let tokenKeys: [ModelKey] = [
    ModelKey("bos_token_id", ids, default: none, "Id of the token that begins a text."),
    ModelKey("eos_token_id", ids, default: none, "Ids of the tokens that end a text; the first ends a document."),
    ModelKey("pad_token_id", ids, default: none, "Id of the padding token, which exports keep."),
  ]

  private static let ids = SettingForm.either(integer, .list(integer, count: nil))

  private static let expertKeys: [ModelKey] = [
    ModelKey(
      "num_local_experts", integer, default: .words(standardCount("num_local_experts")),
      "Routed experts in a layer."),
    ModelKey(
      "num_experts", integer, default: .words(standardCount("num_experts")),
      "The same by another name."),
    ModelKey(
      "num_experts_per_tok", integer, default: .words(standards { $0.experts?.perToken }),
      "Routed experts that every token visits (top-k)."),
    ModelKey(
      "moe_intermediate_size", integer, default: .words("required in sparse models"),
      "Hidden width of an expert."),
    ModelKey("mlp_only_layers", .list(integer, count: nil), default: none, "Layers without experts."),
    ModelKey(
      "decoder_sparse_step", integer, default: .value(.integer(1)),
      "Every so many layers one has experts."),
    ModelKey(
      "n_routed_experts", integer, default: .words("required"), "The same by another name."
    ),
    ModelKey(
      "n_shared_experts", integer, default: .value(.integer(0)),
      "Shared experts, which every token visits."),
    ModelKey(
      "n_group", integer, default: .value(.integer(1)),
      "Groups of experts for group-limited routing."),
    ModelKey(
      "topk_group", integer, default: .value(.integer(1)), "Groups that a token's experts may be of."),
    ModelKey(
      "routed_scaling_factor", number, default: .value(.integer(1)),
      "Factor of the routed experts' output."),
    ModelKey(
      "first_k_dense_replace", integer, default: .value(.integer(0)), "First layers without experts."),
    ModelKey(
      "norm_topk_prob", .boolean, default: off,
      "Whether a token's router probabilities are normalised to a sum of 1."),
  ]

  private static let routerKeys: [ModelKey] = [
    ModelKey(
      "output_router_logits", .boolean, default: .words("true where the run names `router_aux_loss_coef`"),
      isRunsChoice: true, "Whether the load-balancing loss counts."),
    ModelKey(
      "router_aux_loss_coef", number, default: .words("off"), isRunsChoice: true,
      "Coefficient of the load-balancing loss."),
    ModelKey(
      "router_z_loss_coef", number, default: .words("off"), isRunsChoice: true, "Coefficient of the router z-loss."),
    ModelKey(
      "router_aux_loss_scope", .choice(Balancing.Scope.allCases.map(\.rawValue)),
      default: .value(.string(Balancing.Scope.model.rawValue)), isRunsChoice: true,
      "Over which tokens' routing load is balanced: those of all layers together, or layer by layer."),
    ModelKey(
      "router_bias_update_rate", number, default: .value(.number(0.001)), isRunsChoice: true,
      "Update rate of the expert biases: how far a step moves that of an expert with too much or too little load; 0 keeps them."
    ),
    ModelKey(
      "scoring_func", .choice(["sigmoid", "noaux_tc"]), default: .words("sigmoid"),
      "Scores of the router: sigmoid, by either name."),
    ModelKey(
      "topk_method", .choice(["noaux_tc"]), default: .words("noaux_tc"), "How experts are selected."),
    ModelKey(
      "moe_layer_freq", integer, default: .value(.integer(1)), "Every so many layers one has experts: 1."),
  ]
}
