import Foundation
import Models

/// Token sampling from logits with temperature, top-k and top-p. A pure function of its settings, the logits and the
/// position: no state between tokens, so any token of a generation can be drawn again.
public struct Sampler: Sendable, Equatable {
  /// Divides the logits; 0 always takes the most likely token.
  public var temperature: Double
  /// Only the k most likely tokens are drawn from; nil draws from all.
  public var topK: Int?
  /// Only the most likely tokens that together reach this share of the (top-k) probability are drawn from (nucleus
  /// sampling, Holtzman et al. 2020).
  public var topP: Double?
  public var seed: UInt64

  /// The random stream of sampling, apart from those of other uses of a seed.
  private static let stream: UInt64 = 0x5341_4D50_4C45

  public init(temperature: Double = 1, topK: Int? = nil, topP: Double? = nil, seed: UInt64 = 1) {
    precondition(temperature >= 0 && topK ?? 1 >= 1 && topP ?? 1 > 0)
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.seed = seed
  }

  /// Greedy decoding: the most likely token, every time.
  public static let greedy = Sampler(temperature: 0)

  /// - Parameters:
  ///   - logits: `[vocabulary]`, at least one of them finite.
  ///   - position: the token's place in its sequence.
  /// - Returns: a token; ties go to the lower id.
  public func sample(_ logits: [Float], position: Int) -> Int32 {
    var best = 0
    for id in logits.indices where logits[id] > logits[best] || logits[best].isNaN { best = id }
    guard temperature > 0 else { return Int32(best) }
    let maximum = Double(logits[best])
    func weight(_ id: Int) -> Double {
      let value = exp((Double(logits[id]) - maximum) / temperature)
      return value.isNaN ? 0 : value
    }
    let candidates = candidates(logits, weight)
    let weights = candidates.map(weight)
    let random = CounterBasedRandom(seed: seed, stream: Self.stream).uniform(UInt64(position))
    var rest = random * weights.reduce(0, +)
    for (id, weight) in zip(candidates, weights) {
      rest -= weight
      if rest < 0 { return Int32(id) }
    }
    return Int32(best)
  }

  /// The ids to draw from: all in order, or the most likely ones, likeliest first.
  private func candidates(_ logits: [Float], _ weight: (Int) -> Double) -> [Int] {
    guard topK != nil || topP != nil else { return Array(logits.indices) }
    var kept = Self.ranked(logits).prefix(topK ?? logits.count)
    if let topP {
      let weights = kept.map(weight)
      let enough = topP * weights.reduce(0, +)
      var sum = 0.0
      let count = weights.prefix { weight in
        defer { sum += weight }
        return sum < enough
      }.count
      kept = kept.prefix(max(1, count))
    }
    return Array(kept)
  }

  /// All ids by falling logit, ties by rising id: sorted as integers, which is several times faster than by a closure.
  private static func ranked(_ logits: [Float]) -> [Int] {
    var keys = logits.indices.map { id in
      let bits = logits[id].isNaN ? (-Float.infinity).bitPattern : logits[id].bitPattern
      let ascending = bits & 0x8000_0000 == 0 ? bits | 0x8000_0000 : ~bits
      return UInt64(~ascending) << 32 | UInt64(id)
    }
    keys.sort()
    return keys.map { Int($0 & 0xFFFF_FFFF) }
  }
}
