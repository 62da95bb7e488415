import ConfigurationFiles
import Kernels
import Support

/// Reads the mixture-of-experts keys of a `config.json` or a `model:` section.
extension ModelConfiguration {
  static func sparseLayers(_ section: ConfigurationSection, family: ModelFamily, layers: Int) throws -> [Bool] {
    switch family.experts?.sparseLayers {
    case nil: return Array(repeating: false, count: layers)
    case .all: return Array(repeating: true, count: layers)
    case .step:
      let dense = Set(try section.integers("mlp_only_layers") ?? [])
      let step = try section.integer("decoder_sparse_step") ?? 1
      guard step > 0 else { throw section.error("decoder_sparse_step", "must be positive, not \(step)") }
      return (0..<layers).map { !dense.contains($0) && ($0 + 1) % step == 0 }
    case .behindDense:
      let dense = try section.integer("first_k_dense_replace") ?? 0
      guard dense >= 0 else { throw section.error("first_k_dense_replace", "must not be negative, but is \(dense)") }
      return (0..<layers).map { $0 >= dense }
    }
  }

  static func experts(
    _ section: ConfigurationSection, overrides: ConfigurationSection?, form: ExpertForm, isFolder: Bool
  ) throws -> Experts {
    let countKeys = [form.countKey] + form.otherCountKeys + (isFolder ? form.folderCountKeys : [])
    let countKey = countKeys.first(where: section.contains) ?? form.countKey
    if isFolder { try checkCounts(section, countKeys) }
    guard let count = try section.integer(countKey) ?? form.count else {
      throw section.error(countKey, "is missing", code: .missingSetting)
    }
    guard let perToken = try section.integer("num_experts_per_tok") ?? form.perToken else {
      throw section.error("num_experts_per_tok", "is missing", code: .missingSetting)
    }
    guard count > 0 else { throw section.error(countKey, "must be positive, not \(count)") }
    try check(count, countKey, in: section, maximum: maxExperts)
    guard perToken > 0, perToken <= count else {
      throw section.error(
        "num_experts_per_tok", "is \(perToken)", hint: "it must be between 1 and \(countKey) = \(count)")
    }
    guard let intermediateSize = try section.integer(form.widthKey), intermediateSize > 0 else {
      throw section.error(form.widthKey, "must be a positive whole number")
    }
    try check(intermediateSize, form.widthKey, in: section)
    let shared = form.router == .sigmoid ? try section.integer("n_shared_experts") ?? 0 : 0
    guard shared >= 0 else { throw section.error("n_shared_experts", "must not be negative, but is \(shared)") }
    try check(shared, "n_shared_experts", in: section, maximum: maxExperts)
    let router =
      switch form.router {
      case .renormalisedSoftmax: Router(scoring: .softmax, renormalise: true)
      case .softmax: Router(scoring: .softmax, renormalise: try section.boolean("norm_topk_prob") ?? false)
      case .sigmoid: try sigmoidRouter(section, count: count, perToken: perToken)
      }
    return Experts(
      count: count, perToken: perToken, intermediateSize: intermediateSize,
      sharedIntermediateSize: shared * intermediateSize, router: router,
      biasUpdateRate: router.scoring == .sigmoid ? try biasUpdateRate(section, overrides: overrides) : nil,
      balancing: try balancing(
        section, overrides: overrides, scoring: router.scoring, coefficient: form.loadCoefficient))
  }

  /// Rejects contradicting counts: transformers has several names for the number of experts, of which the last one
  /// wins.
  private static func checkCounts(_ section: ConfigurationSection, _ names: [String]) throws {
    let keys = (["num_local_experts"] + names.filter { $0 != "num_local_experts" }).filter(section.contains)
    guard let first = keys.first, let count = try section.integer(first) else { return }
    for key in keys where try section.integer(key) != count {
      throw section.error(
        key, "contradicts \(first) = \(count)", hint: "leave one of them out", after: ": ", code: .conflictingSettings)
    }
  }

  private static func sigmoidRouter(_ section: ConfigurationSection, count: Int, perToken: Int) throws -> Router {
    // The only method that is supported.
    for (key, names) in [("scoring_func", ["sigmoid", "noaux_tc"]), ("topk_method", ["noaux_tc"])] {
      if let name = try section.string(key), !names.contains(name) {
        throw section.error(
          key, "'\(name)' is not supported", hint: "only \(names.joined(separator: " and ")) is",
          code: .unsupportedModel)
      }
    }
    if let step = try section.integer("moe_layer_freq"), step != 1 {
      throw section.error("moe_layer_freq", "is \(step)", hint: "only 1 is supported", code: .unsupportedModel)
    }
    let groups = try section.integer("n_group") ?? 1
    let groupsPerToken = try section.integer("topk_group") ?? 1
    guard groups > 0, count % groups == 0 else {
      throw section.error(
        "n_group", "is \(groups), which does not divide the \(count) experts", code: .conflictingSettings)
    }
    let size = count / groups
    guard groups == 1 || size > 1 else {
      throw section.error(
        "n_group", "is \(groups), which leaves one expert a group; a group is judged by its best two",
        code: .conflictingSettings)
    }
    guard groupsPerToken > 0, groupsPerToken <= groups else {
      throw section.error("topk_group", "is \(groupsPerToken)", hint: "it must be between 1 and n_group = \(groups)")
    }
    guard groupsPerToken * size >= perToken else {
      throw section.error(
        "topk_group",
        "is \(groupsPerToken), and so many groups have \(groupsPerToken * size) experts, fewer than "
          + "num_experts_per_tok = \(perToken)", code: .conflictingSettings)
    }
    let factor = try section.number("routed_scaling_factor") ?? 1
    guard factor > 0, factor.isFinite else { throw section.error("routed_scaling_factor", "must be positive") }
    return Router(
      scoring: .sigmoid, renormalise: try section.boolean("norm_topk_prob") ?? false, scalingFactor: Float(factor),
      groups: groups, groupsPerToken: groupsPerToken)
  }

  private static func biasUpdateRate(
    _ section: ConfigurationSection, overrides: ConfigurationSection?
  ) throws -> Float {
    let key = "router_bias_update_rate"
    let rate = try overrides?.number(key) ?? section.number(key) ?? 0.001
    guard rate >= 0, rate.isFinite else {
      throw (overrides?.contains(key) == true ? overrides ?? section : section).error(
        key, "must not be negative", hint: "0 leaves the selection biases as they are")
    }
    return Float(rate)
  }

  /// Reads the auxiliary losses. The load-balancing loss is on when the run sets its coefficient, or when the run or a
  /// model folder's `config.json` has `output_router_logits: true`.
  private static func balancing(
    _ section: ConfigurationSection, overrides: ConfigurationSection?, scoring: Router.Scoring,
    coefficient standard: Double
  ) throws -> Balancing {
    let run = overrides ?? section
    let (switchKey, coefficientKey, zKey) = ("output_router_logits", "router_aux_loss_coef", "router_z_loss_coef")
    let isRequested =
      try overrides?.boolean(switchKey) ?? (overrides?.contains(coefficientKey) == true ? true : nil)
      ?? section.boolean(switchKey) ?? (overrides == nil && section.contains(coefficientKey))
    let coefficient = try overrides?.number(coefficientKey) ?? section.number(coefficientKey) ?? standard
    guard coefficient.isFinite else {
      throw (overrides?.contains(coefficientKey) == true ? run : section).error(coefficientKey, "must be finite")
    }
    let scopeName = try run.string("router_aux_loss_scope") ?? section.string("router_aux_loss_scope") ?? "model"
    guard let scope = Balancing.Scope(rawValue: scopeName) else {
      throw run.error("router_aux_loss_scope", "must be 'model' or 'layer', not '\(scopeName)'")
    }
    let z = try run.number(zKey) ?? section.number(zKey) ?? 0
    guard z.isFinite else { throw (run.contains(zKey) ? run : section).error(zKey, "must be finite") }
    guard z == 0 || scoring == .softmax else {
      throw (run.contains(zKey) ? run : section).error(
        zKey, "is for routers with a softmax; this one scores every expert by itself", hint: "leave the key out",
        after: ", so ", code: .conflictingSettings)
    }
    // In a run a coefficient of 0 turns the loss off; a folder's switch is kept.
    let isOn = isRequested && (coefficient != 0 || section.contains(switchKey))
    return Balancing(
      isOn: isOn, statedLoadCoefficient: Float(coefficient), zCoefficient: Float(z), scope: scope)
  }
}
