import Configuration
import Diagnostics
import Foundation
import Kernels

/// How positions turn into angles.
public struct RotaryConfiguration: Sendable, Equatable {
  public enum Scaling: Sendable, Equatable {
    case none
    /// Llama 3.1's stretching of long wavelengths.
    case llama3(factor: Double, lowFrequency: Double, highFrequency: Double, originalPositions: Int)
    /// YaRN (Peng et al. 2023): interpolation of long wavelengths and a temperature on attention.
    case yarn(
      factor: Double, betaFast: Double, betaSlow: Double, originalPositions: Int, attentionFactor: Double,
      truncate: Bool)
  }

  /// The base of the angles' geometric progression.
  public var theta: Double
  public var scaling: Scaling

  public init(theta: Double, scaling: Scaling = .none) {
    self.theta = theta
    self.scaling = scaling
  }

  /// Reads `rope_theta` + `rope_scaling` (transformers 4) or `rope_parameters` (transformers 5).
  ///
  /// - Parameter note: told which keys of a folder's rope settings are left alone.
  /// - Throws: `ForgeError.badInput`, located, for a wrong or unsupported value, and for both forms when they disagree:
  ///   transformers takes the old one then, others the new.
  init(
    huggingFace section: ConfigurationSection, maximumPositions: Int, defaultTheta: Double, isFolder: Bool,
    note: (String) -> Void
  ) throws {
    let forms = try ["rope_parameters", "rope_scaling"].compactMap { key in try section.section(key).map { (key, $0) } }
    // An empty mapping says nothing.
    let stated = forms.filter { !$0.1.entries.isEmpty }
    if isFolder, section.mentions("rope_theta"), !section.contains("rope_theta"),
      try !stated.contains(where: { try $0.1.number("rope_theta") != nil })
    {
      throw section.error("rope_theta", "is null, which means nothing: give a value, or leave it out")
    }
    let readings = try stated.map { key, scaling in
      try Self(
        scaling, key, of: section, maximumPositions: maximumPositions, defaultTheta: defaultTheta, isFolder: isFolder,
        note: note)
    }
    if readings.count == 2, readings[0] != readings[1] {
      try section.refuse(
        "rope_scaling", "contradicts rope_parameters, and readers differ in which of the two counts: leave one out")
    }
    let theta = try section.number("rope_theta") ?? defaultTheta
    self = readings.first ?? Self(theta: theta)
    guard self.theta > 0, self.theta.isFinite else { throw section.error("rope_theta", "must be positive") }
  }

  /// Reads one of the two mappings.
  private init(
    _ scaling: ConfigurationSection, _ key: String, of section: ConfigurationSection, maximumPositions: Int,
    defaultTheta: Double, isFolder: Bool, note: (String) -> Void
  ) throws {
    let theta = try scaling.number("rope_theta") ?? section.number("rope_theta") ?? defaultTheta
    let type = try scaling.string("rope_type") ?? scaling.string("type") ?? "default"
    if isFolder, scaling.mentions("rope_type"), !scaling.contains("rope_type") {
      throw scaling.error("rope_type", "is null, which means nothing: give a value, or leave it out")
    }
    if try scaling.number("partial_rotary_factor") ?? 1 != 1 {
      throw scaling.error("partial_rotary_factor", "other than 1 is not supported")
    }
    func positive(_ key: String, _ value: Double) throws -> Double {
      guard value > 0, value.isFinite else { throw scaling.error(key, "must be positive, not \(value)") }
      return value
    }
    func required(_ key: String) throws -> Double {
      guard let value = try scaling.number(key) else { throw scaling.error(key, "is missing for rope_type '\(type)'") }
      return try positive(key, value)
    }
    let originalKey = "original_max_position_embeddings"
    // A folder may also have it beside the mapping, and there it counts more.
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
      // transformers refuses a folder without one.
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
      throw scaling.error("rope_type", "'\(type)' is not supported; use default, llama3 or yarn")
    }
    if !isFolder {
      try scaling.finish(alsoAllowed: Self.looseKeys)
      return
    }
    let read: [String: Set<String>] = [
      "llama3": ["factor", "low_freq_factor", "high_freq_factor"],
      "yarn": ["factor", "beta_fast", "beta_slow", "attention_factor", "truncate"],
    ]
    let known = Self.looseKeys.union(["partial_rotary_factor", originalKey]).union(read[type] ?? [])
    let unknown = scaling.entries.filter { !known.contains($0.key) }
    for entry in unknown {
      switch entry.node.value {
      case .mapping:
        throw scaling.error(entry.key, "is a mapping, and settings for each kind of layer are not supported")
      default: continue
      }
    }
    guard !unknown.isEmpty else { return }
    let names = unknown.map { "\(key).\($0.key)" }.joined(separator: ", ")
    note("\(section.location.source): not used by this program: \(names)")
  }

  /// Keys that a run's rope settings may have whatever the type.
  private static let looseKeys: Set<String> = [
    "type", "rope_type", "rope_theta", "finetuned", "mscale", "mscale_all_dim",
  ]

  /// Angles per position for each pair of a head's elements, `[dimension / 2]`, in fp32 as the models were trained.
  public func inverseFrequencies(dimension: Int) -> [Float] {
    let plain = (0..<dimension / 2).map { 1 / powf(Float(theta), Float(2 * $0) / Float(dimension)) }
    switch scaling {
    case .none: return plain
    case .llama3(let factor, let lowFrequency, let highFrequency, let originalPositions):
      let original = Double(originalPositions)
      return plain.map { frequency in
        let wavelength = 2 * Double.pi / Double(frequency)
        if wavelength < original / highFrequency { return frequency }
        if wavelength > original / lowFrequency { return frequency / Float(factor) }
        let smooth = Float((original / wavelength - lowFrequency) / (highFrequency - lowFrequency))
        return (1 - smooth) * frequency / Float(factor) + smooth * frequency
      }
    case .yarn(let factor, let betaFast, let betaSlow, let originalPositions, _, let truncate):
      func pair(turns: Double) -> Double {
        Double(dimension) * log(Double(originalPositions) / (turns * 2 * Double.pi)) / (2 * log(theta))
      }
      var low = pair(turns: betaFast)
      var high = pair(turns: betaSlow)
      if truncate { (low, high) = (low.rounded(.down), high.rounded(.up)) }
      (low, high) = (max(low, 0), min(high, Double(dimension - 1)))
      if low == high { high += 0.001 }
      return plain.enumerated().map { index, frequency in
        let ramp = Float(min(max((Double(index) - low) / (high - low), 0), 1))
        return frequency / Float(factor) * ramp + frequency * (1 - ramp)
      }
    }
  }

  var attentionFactor: Float {
    if case .yarn(_, _, _, _, let factor, _) = scaling { Float(factor) } else { 1 }
  }
}

/// Cosines and sines of every position's angles: two matrices `[positions, headDimension / 2]`.
final class RotaryTables: Sendable {
  private let memory: Arena<Float>
  let cosine: Matrix
  let sine: Matrix

  init(_ configuration: RotaryConfiguration, headDimension: Int, positions: Int) {
    let half = headDimension / 2
    memory = Arena(count: 2 * positions * half)
    cosine = memory.buffer[0..<positions * half].matrix(positions, half)
    sine = memory.buffer[positions * half..<2 * positions * half].matrix(positions, half)
    let frequencies = configuration.inverseFrequencies(dimension: headDimension)
    for position in 0..<positions {
      for (pair, frequency) in frequencies.enumerated() {
        // The angle is an fp32 product, as in transformers; its cosine is taken in fp64.
        let angle = Double(Float(position) * frequency)
        memory.buffer[position * half + pair] = Float(cos(angle)) * configuration.attentionFactor
        memory.buffer[(positions + position) * half + pair] = Float(sin(angle)) * configuration.attentionFactor
      }
    }
  }

  static func floats(headDimension: Int, positions: Int) -> Int { headDimension * positions }
}
