import ConfigurationFiles
import Foundation
import Support

/// Reads the rotary-embedding keys of a `config.json` or a `model:` section.
extension RotaryConfiguration {
  /// Reads `rope_theta` + `rope_scaling` (transformers 4) or `rope_parameters` (transformers 5).
  ///
  /// - Parameter note: called with a line on the keys of a folder's rope settings that are ignored.
  /// - Throws: `ForgeError.badInput`, located, for a wrong or unsupported value, and for both forms when they disagree:
  ///   transformers then reads the old one, others the new.
  init(
    huggingFace section: ConfigurationSection, maximumPositions: Int, family: ModelFamily, isFolder: Bool,
    note: (String) -> Void
  ) throws {
    let standard = family.defaults.rotary ?? Self(theta: family.defaults.theta)
    let forms = try ["rope_parameters", "rope_scaling"].compactMap { key in try section.section(key).map { (key, $0) } }
    // An empty mapping is as good as none.
    let stated = forms.filter { !$0.1.entries.isEmpty }
    if isFolder, section.mentions("rope_theta"), !section.contains("rope_theta"),
      try !stated.contains(where: { try $0.1.number("rope_theta") != nil })
    {
      throw section.error(
        "rope_theta", "is null, which means nothing", hint: "give a value, or leave it out", after: ": ")
    }
    let readings = try stated.map { key, scaling in
      try Self(
        scaling, key, of: section, maximumPositions: maximumPositions, family: family, isFolder: isFolder, note: note)
    }
    if readings.count == 2, readings[0] != readings[1] {
      try section.refuse(
        "rope_scaling", "contradicts rope_parameters, and readers differ in which of the two counts",
        hint: "leave one out", after: ": ", code: .conflictingSettings)
    }
    let theta = try section.number("rope_theta") ?? standard.theta
    self = readings.first ?? Self(theta: theta, scaling: standard.scaling, queryScale: standard.queryScale)
    if readings.isEmpty, isFolder, family.defaults.rotary != nil, theta != standard.theta {
      throw section.error(
        "rope_theta",
        "is \(theta), but without rope_parameters transformers takes \(standard.theta) for \(family.name) models",
        hint: "write it there", after: ": ")
    }
    guard self.theta > 0, self.theta.isFinite else { throw section.error("rope_theta", "must be positive") }
  }

  /// Reads one of the two mappings.
  private init(
    _ scaling: ConfigurationSection, _ key: String, of section: ConfigurationSection, maximumPositions: Int,
    family: ModelFamily, isFolder: Bool, note: (String) -> Void
  ) throws {
    let theta = try scaling.number("rope_theta") ?? section.number("rope_theta") ?? family.defaults.theta
    let type = try scaling.string("rope_type") ?? scaling.string("type") ?? "default"
    if isFolder, scaling.mentions("rope_type"), !scaling.contains("rope_type") {
      throw scaling.error(
        "rope_type", "is null, which means nothing", hint: "give a value, or leave it out", after: ": ")
    }
    if try scaling.number("partial_rotary_factor") ?? 1 != 1 {
      throw scaling.error("partial_rotary_factor", "other than 1 is not supported", code: .unsupportedModel)
    }
    func positive(_ key: String, _ value: Double) throws -> Double {
      guard value > 0, value.isFinite else { throw scaling.error(key, "must be positive, not \(value)") }
      return value
    }
    func required(_ key: String) throws -> Double {
      guard let value = try scaling.number(key) else {
        throw scaling.error(key, "is missing for rope_type '\(type)'", code: .missingSetting)
      }
      return try positive(key, value)
    }
    let originalKey = "original_max_position_embeddings"
    // A folder may also have it beside the mapping, where it takes precedence.
    let outer = isFolder ? try section.integer(originalKey) : nil
    let original = try outer ?? scaling.integer(originalKey) ?? maximumPositions
    guard original > 0 else { throw scaling.error(originalKey, "must be positive, not \(original)") }
    switch type {
    case "default": self.init(theta: theta)
    case "llama3":
      self.init(
        theta: theta,
        scaling: .llama3(
          factor: try required("factor"), lowFrequency: try required("low_freq_factor"),
          highFrequency: try required("high_freq_factor"), originalPositions: original))
    case "yarn":
      // transformers rejects a folder without one.
      let factor =
        isFolder
        ? try required("factor")
        : try positive("factor", scaling.number("factor") ?? Double(maximumPositions) / Double(original))
      func temperature(_ scale: Double) -> Double { factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1 }
      /// Zero and null mean the usual value.
      func turns(_ key: String, _ usual: Double) throws -> Double {
        let value = try scaling.number(key) ?? 0
        return value == 0 ? usual : try positive(key, value)
      }
      var attention = temperature(1)
      if let m = try scaling.number("mscale"), let all = try scaling.number("mscale_all_dim"), m != 0, all != 0 {
        attention = temperature(m) / temperature(all)
      }
      attention = try positive("attention_factor", scaling.number("attention_factor") ?? attention)
      let truncatesByDefault = !scaling.mentions("truncate")
      self.init(
        theta: theta,
        scaling: .yarn(
          factor: factor, betaFast: try turns("beta_fast", 32), betaSlow: try turns("beta_slow", 1),
          originalPositions: original, attentionFactor: attention,
          truncate: try scaling.boolean("truncate") ?? truncatesByDefault))
    default:
      throw scaling.error(
        "rope_type", "'\(type)' is not supported", hint: "use default, llama3 or yarn", code: .unsupportedModel)
    }
    var loose = Self.looseKeys
    if family.hasQueryScale {
      loose.formUnion([Self.queryScaleKey, "max_position_embeddings"])
      queryScale = try Self.queryScale(scaling, originalPositions: original, isFolder: isFolder)
    }
    if !isFolder {
      try scaling.finish(alsoAllowed: loose)
      return
    }
    let read: [String: Set<String>] = [
      "llama3": ["factor", "low_freq_factor", "high_freq_factor"],
      "yarn": ["factor", "beta_fast", "beta_slow", "attention_factor", "truncate"],
    ]
    let known = loose.union(["partial_rotary_factor", originalKey]).union(read[type] ?? [])
    let unknown = scaling.entries.filter { !known.contains($0.key) }
    for entry in unknown {
      switch entry.node.value {
      case .mapping:
        throw scaling.error(
          entry.key, "is a mapping, and settings for each kind of layer are not supported", code: .unsupportedModel)
      default: continue
      }
    }
    guard !unknown.isEmpty else { return }
    let names = unknown.map { "\(key).\($0.key)" }.joined(separator: ", ")
    note("\(section.location.source): not used by this program: \(names)")
  }

  static let queryScaleKey = "llama_4_scaling_beta"

  /// - Returns: nil where a run does not scale queries; transformers fails on a folder without the key.
  private static func queryScale(
    _ scaling: ConfigurationSection, originalPositions: Int, isFolder: Bool
  ) throws -> QueryScale? {
    guard let beta = try scaling.number(queryScaleKey) else {
      if isFolder {
        throw scaling.error(queryScaleKey, "is missing", hint: "0 leaves queries as they are", code: .missingSetting)
      }
      return nil
    }
    guard beta >= 0, beta.isFinite else { throw scaling.error(queryScaleKey, "must not be negative, but is \(beta)") }
    return beta == 0 ? nil : QueryScale(beta: beta, originalPositions: originalPositions)
  }

  /// Keys that a run's rope settings may have with any type.
  private static let looseKeys: Set<String> = [
    "type", "rope_type", "rope_theta", "finetuned", "mscale", "mscale_all_dim",
  ]
}
