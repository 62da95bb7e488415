import Checkpoints
import Formats
import Foundation
import Models

extension ModelConfiguration {
  /// A `config.json` that transformers 4 and 5 both read, and this program reads back to the same configuration.
  ///
  /// - Parameter dtype: of the weights beside it.
  public func huggingFaceJSON(dtype: ScalarType = .float32) -> Data {
    let architectures: [Family: String] = [
      .llama: "LlamaForCausalLM", .mistral: "MistralForCausalLM", .mixtral: "MixtralForCausalLM",
      .qwen3: "Qwen3ForCausalLM", .qwen3MoE: "Qwen3MoeForCausalLM", .dots1: "Dots1ForCausalLM",
    ]
    var keys: [String: JSONValue] = [
      "architectures": .array([.string(architectures[family] ?? "")]), "model_type": .string(family.rawValue),
      "vocab_size": .integer(vocabularySize), "hidden_size": .integer(hiddenSize),
      "intermediate_size": .integer(intermediateSize), "num_hidden_layers": .integer(layers),
      "num_attention_heads": .integer(heads), "num_key_value_heads": .integer(keyValueHeads),
      "head_dim": .integer(headDimension), "hidden_act": "silu", "rms_norm_eps": Self.number(normEpsilon),
      "max_position_embeddings": .integer(maximumPositions), "rope_theta": .number(rotary.theta),
      "tie_word_embeddings": .boolean(tiedEmbeddings), "attention_bias": .boolean(attentionBias),
      "attention_dropout": 0.0, "initializer_range": Self.number(initializerRange),
      "torch_dtype": .string(dtype.torchName), "use_cache": true,
      "bos_token_id": Self.integer(beginOfSequence), "eos_token_id": Self.integer(endOfSequence),
    ]
    if let scaling = rotary.scaling.huggingFace { keys["rope_scaling"] = .object(scaling) }
    addWindows(to: &keys)
    if let experts { add(experts, to: &keys) }
    return Data((JSONValue.object(keys).indented() + "\n").utf8)
  }

  private func add(_ experts: Experts, to keys: inout [String: JSONValue]) {
    let balancing = experts.balancing
    let countKeys: [Family: String] = [.mixtral: "num_local_experts", .dots1: "n_routed_experts"]
    keys[countKeys[family] ?? "num_experts"] = .integer(experts.count)
    keys["num_experts_per_tok"] = .integer(experts.perToken)
    keys["output_router_logits"] = .boolean(balancing.loadCoefficient != 0)
    keys["router_aux_loss_coef"] = Self.number(balancing.loadCoefficient)
    if balancing.zCoefficient != 0 { keys["router_z_loss_coef"] = Self.number(balancing.zCoefficient) }
    if balancing.scope != .model { keys["router_aux_loss_scope"] = .string(balancing.scope.rawValue) }
    guard family != .mixtral else { return }
    keys["moe_intermediate_size"] = .integer(experts.intermediateSize)
    keys["norm_topk_prob"] = .boolean(experts.router.renormalise)
    guard family == .dots1 else {
      keys["decoder_sparse_step"] = 1
      keys["mlp_only_layers"] = .array(sparseLayers.indices.filter { !sparseLayers[$0] }.map(JSONValue.integer))
      return
    }
    keys["n_shared_experts"] = .integer(experts.sharedIntermediateSize / experts.intermediateSize)
    keys["n_group"] = .integer(experts.router.groups)
    keys["topk_group"] = .integer(experts.router.groupsPerToken)
    keys["routed_scaling_factor"] = Self.number(experts.router.scalingFactor)
    keys["first_k_dense_replace"] = .integer(sparseLayers.firstIndex(of: true) ?? layers)
    if let rate = experts.biasUpdateRate { keys["router_bias_update_rate"] = Self.number(rate) }
  }

  private func addWindows(to keys: inout [String: JSONValue]) {
    let window = windows.compactMap { $0 }.first
    if family != .llama { keys["sliding_window"] = Self.integer(window) }
    if family == .qwen3 || family == .qwen3MoE { keys["use_sliding_window"] = .boolean(window != nil) }
    guard family == .qwen3 || family == .dots1 else { return }
    keys["layer_types"] = .array(windows.map { $0 == nil ? "full_attention" : "sliding_attention" })
    keys["max_window_layers"] = .integer(windows.firstIndex { $0 != nil } ?? layers)
  }

  private static func integer(_ value: Int?) -> JSONValue { value.map(JSONValue.integer) ?? .null }

  /// The number that prints as short as the float does.
  private static func number(_ value: Float) -> JSONValue { .number(Double("\(value)") ?? Double(value)) }
}

extension RotaryConfiguration.Scaling {
  fileprivate var huggingFace: [String: JSONValue]? {
    switch self {
    case .none: nil
    case .llama3(let factor, let low, let high, let original):
      [
        "rope_type": "llama3", "factor": .number(factor), "low_freq_factor": .number(low),
        "high_freq_factor": .number(high), "original_max_position_embeddings": .integer(original),
      ]
    case .yarn(let factor, let fast, let slow, let original, let attention, let truncate):
      [
        "rope_type": "yarn", "factor": .number(factor), "beta_fast": .number(fast), "beta_slow": .number(slow),
        "original_max_position_embeddings": .integer(original), "attention_factor": .number(attention),
        "truncate": .boolean(truncate),
      ]
    }
  }
}

extension ScalarType {
  /// The type's name in a `config.json`.
  fileprivate var torchName: String {
    switch self {
    case .float16: "float16"
    case .bfloat16: "bfloat16"
    default: "float32"
    }
  }
}
