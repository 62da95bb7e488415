import ConfigurationFiles
import Foundation
import Support

/// Validates the keys of a folder's `config.json` that the model's family does not have: most do not affect the
/// computation and are ignored; those that would change it are rejected by name.
extension ModelConfiguration {
  /// The values of another architecture's key that change nothing here. Null is as good as no key.
  private enum Neutral: Sendable {
    /// False, zero, or an empty text, list or mapping.
    case off
    case on
    /// 1, or a list of ones.
    case one
    case texts([String])
    /// The head dimension to the power that gives the usual attention scale, 1/√dimension.
    case headDimension(power: Double)
  }

  private static let foreignKeys: [(neutral: Neutral, keys: [String])] = [
    (
      .off,
      [
        "add_bias_linear", "add_cross_attention", "add_qkv_bias", "add_unit_offset", "alibi", "attention_chunk_size",
        "attention_out_bias", "attention_qkv_bias", "attn_logit_cap", "attn_logit_softcapping", "attn_sinks",
        "attn_temperature_tuning", "attention_sinks", "bidirectional", "block_configs", "clip_qkv",
        "compression_config", "dim_model_base", "final_logit_softcapping", "is_encoder_decoder", "lm_head_bias",
        "logit_softcapping", "logits_soft_cap", "mlp_bias", "no_rope_layer_interval", "nope_layer_interval",
        "num_kv_shared_layers", "parallel_attn", "parallel_residual", "per_layer_config", "pruned_heads", "qkv_bias",
        "quantization", "quantization_config", "rope_interleave", "rope_interleaved", "rope_local_base_freq",
        "rotary_interleaved", "scale_depth", "swiglu_limit", "text_config", "use_alibi", "use_attention_sink",
        "use_bias",
        "use_bidirectional_attention", "use_mup", "use_parallel_block", "use_parallel_residual", "use_qkv_bias",
        "zero_centered_norm",
      ]
    ),
    (.on, ["causal", "is_causal", "scale_attn_weights", "use_rope"]),
    (
      .one,
      [
        "attention_in_multiplier", "attention_out_multiplier", "attention_output_multiplier", "embedding_multiplier",
        "embedding_scale", "key_multiplier", "lm_head_multiplier", "logit_scale", "logits_scaling", "mlp_multipliers",
        "no_rope_layers", "output_multiplier_scale", "partial_rotary_factor", "residual_multiplier", "residual_scale",
        "rotary_emb_fraction", "rotary_pct", "scale_emb",
      ]
    ),
    (.texts(["silu", "swish", "swiglu"]), ["activation_function", "hidden_activation", "mlp_hidden_act"]),
    (.texts(["rope", "rotary"]), ["position_embedding_type"]),
    (.texts(["rmsnorm", "RMSNorm", "rms_norm", "rms"]), ["norm_type", "normalization_type"]),
    (.headDimension(power: -0.5), ["attention_multiplier", "attention_scale", "softmax_scale"]),
    (.headDimension(power: 1), ["query_pre_attn_scalar"]),
  ]
  private static let queryKeyNormKeys = [
    "qk_layernorm", "qk_norm", "use_qk_layernorm", "use_qk_norm", "use_query_key_norm",
  ]
  /// Dropout and jitter, which training here does not have; inference does not depend on them.
  private static let noiseKeys = [
    "attention_dropout", "embd_pdrop", "hidden_dropout", "hidden_dropout_prob", "resid_pdrop", "router_jitter_noise",
  ]

  /// - Parameter isTrained: whether the model is trained, and not only evaluated.
  /// - Throws: `ForgeError.badInput`, located, for the first key that changes the computation.
  func refuseForeignKeys(_ section: ConfigurationSection, isTrained: Bool) throws {
    for (neutral, keys) in Self.foreignKeys {
      for key in keys where !family.keys.contains(key) {
        guard let node = section.node(key), !isNeutral(node.value, neutral) else { continue }
        let isFormat = key.hasPrefix("quant") || key.hasPrefix("compr")
        throw section.error(
          key,
          "is \(node.value), which is not supported" + (isFormat ? "" : ", and it changes what the model computes"),
          hint: isFormat ? "convert the weights to fp32, bf16 or fp16 first" : nil, code: .unsupportedModel)
      }
    }
    let normalises = queryKeyNorm != .none
    for key in Self.queryKeyNormKeys {
      guard let node = section.node(key), !isNeutral(node.value, normalises ? .on : .off) else { continue }
      throw section.error(
        key,
        "is \(node.value), but \(family.name) models \(normalises ? "always" : "never") normalise queries "
          + "and keys", code: .unsupportedModel)
    }
    guard isTrained else { return }
    for key in Self.noiseKeys where try section.number(key) ?? 0 != 0 {
      throw section.error(
        key, "is not supported in training", hint: "set it to 0 in the folder's config.json", code: .unsupportedModel)
    }
  }

  /// - Throws: `ForgeError.badInput`, located, for a null that the family does not define.
  static func refuseNulls(_ section: ConfigurationSection, family: ModelFamily) throws {
    for key in family.nulls.refused where section.mentions(key) && !section.contains(key) {
      throw section.error(
        key, "is null, which means nothing to \(family.name) models", hint: "give a value, or leave it out", after: ": "
      )
    }
  }

  /// - Throws: `ForgeError.badInput`, located, for a key of a run that only other families use and that would have no
  ///   effect.
  static func refuseUnusedKeys(_ section: ConfigurationSection, family: ModelFamily) throws {
    for key in unusedKeys(section, family: family) {
      let others = ModelFamily.all.filter { $0.keys.contains(key) }.map(\.name)
      try section.refuse(
        key,
        "is not for \(family.name) models",
        hint: "of the families here only \(others.joinedAsWords) "
          + (others.count == 1 ? "has it" : "have it"), code: .conflictingSettings)
    }
  }

  /// Keys that are set, that other families have and that this one does not.
  static func unusedKeys(_ section: ConfigurationSection, family: ModelFamily) -> [String] {
    let foreign = familyKeys.subtracting(family.keys)
    return declaredKeys.map(\.key).filter { key in
      guard foreign.contains(key), let node = section.node(key) else { return false }
      if case .sequence(let items) = node.value, key == "layer_types" {
        return items.contains { $0 != ConfigurationNode(.string("full_attention"), at: $0.location) }
      }
      return !isOff(node.value)
    }
  }

  private func isNeutral(_ value: ConfigurationNode.Value, _ neutral: Neutral) -> Bool {
    switch (neutral, value) {
    case (.off, _): Self.isOff(value)
    case (.on, .boolean(let flag)): flag
    case (.texts(let texts), .string(let text)): texts.contains(text)
    case (.one, .sequence(let items)): items.allSatisfy { isNeutral($0.value, .one) }
    case (.one, .boolean(let flag)): flag
    case (.one, .integer(let number)): number == 1
    case (.one, .number(let number)): number == 1
    case (.headDimension(let power), .integer(let number)): isPower(Double(number), power)
    case (.headDimension(let power), .number(let number)): isPower(number, power)
    default: false
    }
  }

  private func isPower(_ number: Double, _ power: Double) -> Bool {
    abs(number / pow(Double(headDimension), power) - 1) < 1e-6
  }

  /// Whether a value is null, false, zero or empty.
  static func isOff(_ value: ConfigurationNode.Value) -> Bool {
    switch value {
    case .null: true
    case .boolean(let flag): !flag
    case .integer(let number): number == 0
    case .number(let number): number == 0
    case .string(let text): text.isEmpty
    case .sequence(let items): items.isEmpty
    case .mapping(let entries): entries.isEmpty
    }
  }
}

extension [String] {
  /// `a`, `a and b`, `a, b and c`.
  var joinedAsWords: String {
    guard let last, count > 1 else { return first ?? "" }
    return "\(dropLast().joined(separator: ", ")) and \(last)"
  }
}
