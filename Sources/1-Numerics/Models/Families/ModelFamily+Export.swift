public import ConfigurationFiles
import Kernels

/// The family-specific keys of an exported `config.json`: the inverse of what `ModelConfiguration` reads.
extension ModelFamily {
  /// Whether an exported `config.json` may keep a null of its source.
  public func writesNull(_ key: String) -> Bool { !nulls.defaulted.contains(key) && !nulls.spelledOut.contains(key) }

  /// Whether `layer_types` may set each layer's attention.
  public var hasLayerTypes: Bool { windows?.hasLayerTypes == true }

  /// The keys of a model of this family besides those that every family writes.
  public func exportedKeys(_ c: ModelConfiguration) -> [String: ConfigurationNode.Value] {
    var keys: [String: ConfigurationNode.Value] = [:]
    if c.padding != nil || defaults.padding != nil { keys["pad_token_id"] = Self.integer(c.padding) }
    if hasQueryKeyValueBound { keys["clip_qkv"] = c.queryKeyValueBound.map(Self.number) ?? .null }
    if let scaling = scaling(c) {
      keys["rope_scaling"] = Self.mapping(scaling)
    }
    if let windows { add(c.windows, windows, to: &keys) }
    if let experts = c.experts, let form = self.experts { add(experts, form, c.sparseLayers, to: &keys) }
    return keys
  }

  private func add(_ windows: [Int?], _ form: WindowForm, to keys: inout [String: ConfigurationNode.Value]) {
    let window = windows.compactMap { $0 }.first
    keys["sliding_window"] = Self.integer(window)
    if form.hasSwitch { keys["use_sliding_window"] = .boolean(window != nil) }
    guard form.hasLayerTypes, form.firstLayer != nil || windows.contains(where: { $0 != window }) else { return }
    keys["layer_types"] = Self.list(windows.map { .string($0 == nil ? "full_attention" : "sliding_attention") })
    guard form.firstLayer != nil else { return }
    keys["max_window_layers"] = .integer(windows.firstIndex { $0 != nil } ?? windows.count)
  }

  private func add(
    _ experts: ModelConfiguration.Experts, _ form: ExpertForm, _ sparseLayers: [Bool],
    to keys: inout [String: ConfigurationNode.Value]
  ) {
    let balancing = experts.balancing
    keys[form.countKey] = .integer(experts.count)
    keys["num_experts_per_tok"] = .integer(experts.perToken)
    keys[form.widthKey] = .integer(experts.intermediateSize)
    keys["output_router_logits"] = .boolean(balancing.isOn)
    keys["router_aux_loss_coef"] = Self.number(balancing.statedLoadCoefficient)
    if balancing.zCoefficient != 0 { keys["router_z_loss_coef"] = Self.number(balancing.zCoefficient) }
    if balancing.scope != .model { keys["router_aux_loss_scope"] = .string(balancing.scope.rawValue) }
    if form.router != .renormalisedSoftmax { keys["norm_topk_prob"] = .boolean(experts.router.renormalise) }
    if form.router == .sigmoid {
      keys["n_shared_experts"] = .integer(experts.sharedIntermediateSize / experts.intermediateSize)
      keys["n_group"] = .integer(experts.router.groups)
      keys["topk_group"] = .integer(experts.router.groupsPerToken)
      keys["routed_scaling_factor"] = Self.number(experts.router.scalingFactor)
      if let rate = experts.biasUpdateRate { keys["router_bias_update_rate"] = Self.number(rate) }
    }
    switch form.sparseLayers {
    case .all: break
    case .step:
      keys["decoder_sparse_step"] = .integer(1)
      keys["mlp_only_layers"] = Self.list(sparseLayers.indices.filter { !sparseLayers[$0] }.map { .integer($0) })
    case .behindDense:
      keys["first_k_dense_replace"] = .integer(sparseLayers.firstIndex(of: true) ?? sparseLayers.count)
    }
  }

  /// The rope settings without the base; nil where they are the defaults of transformers.
  private func scaling(_ c: ModelConfiguration) -> [String: ConfigurationNode.Value]? {
    var keys: [String: ConfigurationNode.Value] = [:]
    switch c.rotary.scaling {
    case .none:
      guard defaults.rotary != nil else { return nil }
      keys = [
        "rope_type": .string("default"),
        "original_max_position_embeddings": .integer(c.rotary.queryScale?.originalPositions ?? c.maximumPositions),
      ]
    case .llama3(let factor, let low, let high, let original):
      keys = [
        "rope_type": .string("llama3"), "factor": .number(factor), "low_freq_factor": .number(low),
        "high_freq_factor": .number(high), "original_max_position_embeddings": .integer(original),
      ]
    case .yarn(let factor, let fast, let slow, let original, let attention, let truncate):
      keys = [
        "rope_type": .string("yarn"), "factor": .number(factor), "beta_fast": .number(fast),
        "beta_slow": .number(slow), "original_max_position_embeddings": .integer(original),
        "attention_factor": .number(attention), "truncate": .boolean(truncate),
      ]
    }
    if hasQueryScale { keys[RotaryConfiguration.queryScaleKey] = .number(c.rotary.queryScale?.beta ?? 0) }
    return keys
  }

  // MARK: Values without a location

  private static let nowhere = ConfigurationNode.Location(source: "")

  private static func integer(_ value: Int?) -> ConfigurationNode.Value { value.map { .integer($0) } ?? .null }

  /// The double with the float's shortest decimal representation.
  private static func number(_ value: Float) -> ConfigurationNode.Value { .number(Double("\(value)") ?? Double(value)) }

  private static func list(_ values: [ConfigurationNode.Value]) -> ConfigurationNode.Value {
    .sequence(values.map { ConfigurationNode($0, at: nowhere) })
  }

  private static func mapping(_ values: [String: ConfigurationNode.Value]) -> ConfigurationNode.Value {
    .mapping(
      values.map { key, value in
        ConfigurationNode.Entry(key: key, location: nowhere, node: ConfigurationNode(value, at: nowhere))
      })
  }
}
