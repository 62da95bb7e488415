import Foundation
import Kernels

/// The configuration of the rotary position embedding (RoPE).
public struct RotaryConfiguration: Sendable, Equatable {
  public enum Scaling: Sendable, Equatable {
    case none
    /// Llama 3.1's scaling of long wavelengths.
    case llama3(factor: Double, lowFrequency: Double, highFrequency: Double, originalPositions: Int)
    /// YaRN (Peng et al. 2023): interpolation of long wavelengths and a temperature on attention.
    case yarn(
      factor: Double, betaFast: Double, betaSlow: Double, originalPositions: Int, attentionFactor: Double,
      truncate: Bool)
  }

  /// Attention temperature by position (Llama 4), against flat attention in long contexts: a rotated query is
  /// multiplied by 1 + beta · ln(1 + ⌊position / originalPositions⌋).
  public struct QueryScale: Sendable, Equatable {
    public var beta: Double
    public var originalPositions: Int

    public init(beta: Double, originalPositions: Int) {
      self.beta = beta
      self.originalPositions = originalPositions
    }

    /// In fp32, as the models were trained; exactly 1 below the original context length.
    func factor(position: Int) -> Float {
      1 + Float(beta) * Float(log(Double(1 + position / originalPositions)))
    }
  }

  /// The base of the angles' geometric progression.
  public var theta: Double
  public var scaling: Scaling
  /// nil where queries stay as they are.
  public var queryScale: QueryScale?

  public init(theta: Double, scaling: Scaling = .none, queryScale: QueryScale? = nil) {
    self.theta = theta
    self.scaling = scaling
    self.queryScale = queryScale
  }

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

/// Cosines and sines of every position's angles, two matrices `[positions, headDimension / 2]`, and what queries are
/// multiplied by.
final class RotaryTables: Sendable {
  private let memory: Arena<Float>
  let cosine: Matrix
  let sine: Matrix
  /// `[positions]`; nil where queries stay as they are.
  let queryScale: Buffer<Float>?

  init(_ configuration: RotaryConfiguration, headDimension: Int, positions: Int) {
    let half = headDimension / 2
    memory = Arena(count: Self.floats(configuration, headDimension: headDimension, positions: positions))
    cosine = memory.buffer[0..<positions * half].matrix(positions, half)
    sine = memory.buffer[positions * half..<2 * positions * half].matrix(positions, half)
    queryScale = configuration.queryScale == nil ? nil : memory.buffer[2 * positions * half..<memory.count]
    let frequencies = configuration.inverseFrequencies(dimension: headDimension)
    for position in 0..<positions {
      for (pair, frequency) in frequencies.enumerated() {
        // The angle is an fp32 product, as in transformers; its cosine is taken in fp64.
        let angle = Double(Float(position) * frequency)
        memory.buffer[position * half + pair] = Float(cos(angle)) * configuration.attentionFactor
        memory.buffer[(positions + position) * half + pair] = Float(sin(angle)) * configuration.attentionFactor
      }
      if let scale = configuration.queryScale { queryScale?[position] = scale.factor(position: position) }
    }
  }

  static func floats(_ configuration: RotaryConfiguration, headDimension: Int, positions: Int) -> Int {
    (headDimension + (configuration.queryScale == nil ? 0 : 1)) * positions
  }
}
