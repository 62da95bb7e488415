import Foundation
import Models

extension ModelConfiguration {
  /// A `config.json` that transformers 4 and 5 both read, and this program reads back to the same configuration.
  public func huggingFaceJSON() throws -> Data {
    let architectures: [Family: String] = [
      .llama: "LlamaForCausalLM", .mistral: "MistralForCausalLM", .mixtral: "MixtralForCausalLM",
      .qwen3: "Qwen3ForCausalLM", .qwen3MoE: "Qwen3MoeForCausalLM",
    ]
    var keys: [String: Any] = [
      "architectures": [architectures[family] ?? ""], "model_type": family.rawValue, "vocab_size": vocabularySize,
      "hidden_size": hiddenSize, "intermediate_size": intermediateSize, "num_hidden_layers": layers,
      "num_attention_heads": heads, "num_key_value_heads": keyValueHeads, "head_dim": headDimension,
      "hidden_act": "silu", "rms_norm_eps": shortest(normEpsilon), "max_position_embeddings": maximumPositions,
      "rope_theta": rotary.theta, "tie_word_embeddings": tiedEmbeddings, "attention_bias": attentionBias,
      "attention_dropout": 0.0, "initializer_range": shortest(initializerRange), "torch_dtype": "float32",
      "use_cache": true, "bos_token_id": beginOfSequence ?? NSNull(), "eos_token_id": endOfSequence ?? NSNull(),
    ]
    if let scaling = rotary.scaling.huggingFace { keys["rope_scaling"] = scaling }
    addWindows(to: &keys)
    if let experts {
      keys[family == .mixtral ? "num_local_experts" : "num_experts"] = experts.count
      keys["num_experts_per_tok"] = experts.perToken
      keys["output_router_logits"] = experts.balancing.loadCoefficient != 0
      keys["router_aux_loss_coef"] = shortest(experts.balancing.loadCoefficient)
      if experts.balancing.zCoefficient != 0 { keys["router_z_loss_coef"] = shortest(experts.balancing.zCoefficient) }
      if experts.balancing.scope != .model { keys["router_aux_loss_scope"] = experts.balancing.scope.rawValue }
      if family == .qwen3MoE {
        keys["moe_intermediate_size"] = experts.intermediateSize
        keys["norm_topk_prob"] = experts.renormalise
        keys["decoder_sparse_step"] = 1
        keys["mlp_only_layers"] = sparseLayers.indices.filter { !sparseLayers[$0] }
      }
    }
    return try JSONSerialization.data(withJSONObject: keys, options: [.prettyPrinted, .sortedKeys])
  }

  private func addWindows(to keys: inout [String: Any]) {
    let window = windows.compactMap { $0 }.first
    if family != .llama { keys["sliding_window"] = window ?? NSNull() }
    guard family == .qwen3 || family == .qwen3MoE else { return }
    keys["use_sliding_window"] = window != nil
    if family == .qwen3 {
      keys["layer_types"] = windows.map { $0 == nil ? "full_attention" : "sliding_attention" }
      keys["max_window_layers"] = windows.firstIndex { $0 != nil } ?? layers
    }
  }

  /// The number that prints as short as the float does.
  private func shortest(_ value: Float) -> Double { Double("\(value)") ?? Double(value) }
}

extension RotaryConfiguration.Scaling {
  fileprivate var huggingFace: [String: Any]? {
    switch self {
    case .none: nil
    case .llama3(let factor, let low, let high, let original):
      [
        "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
        "original_max_position_embeddings": original,
      ]
    case .yarn(let factor, let fast, let slow, let original, let attention, let truncate):
      [
        "rope_type": "yarn", "factor": factor, "beta_fast": fast, "beta_slow": slow,
        "original_max_position_embeddings": original, "attention_factor": attention, "truncate": truncate,
      ]
    }
  }
}
