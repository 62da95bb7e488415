import Configuration
import Diagnostics

/// What transformers takes where a `config.json` leaves a key out or says null.
struct FamilyDefaults {
  /// nil: as many as there are attention heads.
  var keyValueHeads: Int?
  var maximumPositions: Int
  var normEpsilon = 1e-6
  var theta = 10_000.0
  /// Of `sliding_window`.
  var window: Int?
  /// Of `bos_token_id` and `eos_token_id`.
  var begin: Int?
  var end: Int?

  init(_ family: ModelConfiguration.Family) {
    switch family {
    case .llama: (maximumPositions, begin, end) = (2048, 1, 2)
    case .mistral: (keyValueHeads, maximumPositions, window, begin, end) = (8, 131_072, 4096, 1, 2)
    case .mixtral:
      (keyValueHeads, maximumPositions, normEpsilon, theta, begin, end) = (8, 131_072, 1e-5, 1_000_000, 1, 2)
    case .qwen3: (keyValueHeads, maximumPositions, window) = (32, 32_768, 4096)
    case .qwen3MoE: (keyValueHeads, maximumPositions, window) = (4, 32_768, 4096)
    case .dots1: (keyValueHeads, maximumPositions, window) = (32, 2048, 4096)
    }
  }
}

extension ModelConfiguration {
  /// Numbers that transformers refuses, or fails on, when they are null: null is neither the family's default nor
  /// anything else.
  private static func neverNull(_ family: Family) -> [String] {
    let common = ["max_position_embeddings", "rms_norm_eps", "hidden_act"]
    switch family {
    case .llama, .mistral: return common
    case .mixtral: return common + ["num_local_experts", "num_experts_per_tok"]
    case .qwen3: return common + ["head_dim", "max_window_layers"]
    case .qwen3MoE:
      return common + [
        "num_key_value_heads", "head_dim", "num_experts", "num_experts_per_tok", "moe_intermediate_size",
        "decoder_sparse_step",
      ]
    case .dots1:
      return common + ["head_dim", "max_window_layers", "n_group", "topk_group", "first_k_dense_replace"]
    }
  }

  /// Keys whose null transformers 5 refuses and older versions took for no: read as the family's default, never written.
  public static func defaultedNulls(_ family: Family) -> [String] {
    let common = [
      "tie_word_embeddings", "initializer_range", "use_cache", "is_encoder_decoder", "chunk_size_feed_forward",
    ]
    switch family {
    case .llama: return common + ["attention_bias", "mlp_bias"]
    case .mistral: return common + ["attention_dropout"]
    case .mixtral:
      return common + ["attention_dropout", "output_router_logits", "router_aux_loss_coef", "router_jitter_noise"]
    case .qwen3: return common + ["attention_bias", "attention_dropout", "use_sliding_window"]
    case .qwen3MoE:
      return common + [
        "attention_bias", "attention_dropout", "use_sliding_window", "norm_topk_prob", "output_router_logits",
        "router_aux_loss_coef",
      ]
    case .dots1: return common + ["attention_bias", "output_router_logits", "routed_scaling_factor"]
    }
  }

  /// - Throws: `ForgeError.badInput`, located, for a null that means nothing.
  static func refuseNulls(_ section: ConfigurationSection, family: Family) throws {
    for key in neverNull(family) where section.mentions(key) && !section.contains(key) {
      throw section.error(
        key, "is null, which means nothing to \(family.rawValue) models: give a value, or leave it out")
    }
  }

  /// Keys of other families that a folder sets, and that this one does not have.
  static func unusedKeys(_ section: ConfigurationSection, family: Family) -> [String] {
    declaredKeys.filter { declared in
      guard declared.families?.contains(family) == false, let node = section.node(declared.key) else { return false }
      if case .sequence(let items) = node.value, declared.key == "layer_types" {
        return items.contains { $0 != ConfigurationNode(.string("full_attention"), at: $0.location) }
      }
      return !isOff(node.value)
    }.map(\.key)
  }
}
