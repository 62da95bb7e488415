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
  init(huggingFace section: ConfigurationSection, maximumPositions: Int, defaultTheta: Double) throws {
    let modern = try section.section("rope_parameters")
    let scaling = try modern ?? section.section("rope_scaling")
    let theta = try modern?.number("rope_theta") ?? section.number("rope_theta") ?? defaultTheta
    guard let scaling else {
      self.init(theta: theta)
      return
    }
    let type = try scaling.string("rope_type") ?? scaling.string("type") ?? "default"
    if try scaling.number("partial_rotary_factor") ?? 1 != 1 {
      throw scaling.error("partial_rotary_factor", "other than 1 is not supported")
    }
    func required(_ key: String) throws -> Double {
      guard let value = try scaling.number(key) else { throw scaling.error(key, "is missing for rope_type '\(type)'") }
      return value
    }
    let original = try scaling.integer("original_max_position_embeddings") ?? maximumPositions
    switch type {
    case "default": self.init(theta: theta)
    case "llama3":
      self.init(
        theta: theta,
        scaling: .llama3(
          factor: try required("factor"), lowFrequency: try required("low_freq_factor"),
          highFrequency: try required("high_freq_factor"), originalPositions: original))
    case "yarn":
      let factor = try scaling.number("factor") ?? Double(maximumPositions) / Double(original)
      func temperature(_ scale: Double) -> Double { factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1 }
      var attention = temperature(1)
      if let m = try scaling.number("mscale"), let all = try scaling.number("mscale_all_dim"), m != 0, all != 0 {
        attention = temperature(m) / temperature(all)
      }
      self.init(
        theta: theta,
        scaling: .yarn(
          factor: factor, betaFast: try scaling.number("beta_fast") ?? 32,
          betaSlow: try scaling.number("beta_slow") ?? 1, originalPositions: original,
          attentionFactor: try scaling.number("attention_factor") ?? attention,
          truncate: try scaling.boolean("truncate") ?? true))
    default:
      throw scaling.error("rope_type", "'\(type)' is not supported; use default, llama3 or yarn")
    }
    try scaling.finish(alsoAllowed: ["type", "rope_type", "rope_theta", "finetuned", "mscale", "mscale_all_dim"])
  }

  /// Angles per position for each pair of a head's elements, `[dimension / 2]`, in fp32 as the models were trained.
  func inverseFrequencies(dimension: Int) -> [Float] {
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
