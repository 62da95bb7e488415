import Batches
import Foundation
import Kernels
import Models
import Objectives
import Testing

/// Direct preference optimisation (Rafailov et al. 2023), as an objective outside the product: sequences 2i and 2i + 1 are a
/// pair, of which the first is preferred. −log σ(β · (chosen − rejected)), where each is Σ log p − reference log p.
private struct PreferencePairs: Objective {
  static let beta: Float = 0.7
  let terms = ["preference"]

  func denominators(of batch: TokenBatch, microBatches: Int) -> [LossDenominator] {
    [LossDenominator(count: batch.sequences / 2)]
  }

  /// By pair, β times the margin.
  private static func margins(_ batch: TokenBatch, _ logProbabilities: [Float]) -> [Float] {
    let reference = batch[.referenceLogProbabilities]
    func reward(_ sequence: Int) -> Float {
      batch.packing.tokens(of: sequence).filter { batch.lossWeights[$0] != 0 }
        .reduce(0) { $0 + logProbabilities[$1] - reference[$1] }
    }
    return (0..<batch.sequences / 2).map { beta * (reward(2 * $0) - reward(2 * $0 + 1)) }
  }

  func coefficients(of batch: TokenBatch, denominators: [LossDenominator]) -> LossCoefficients {
    let scale = denominators[0].scale
    return .perBatch { logProbabilities in
      var coefficients = [Float](repeating: 0, count: batch.tokenCount)
      for (pair, margin) in Self.margins(batch, logProbabilities).enumerated() {
        let share = Self.beta / (1 + exp(margin)) * scale
        for token in batch.packing.tokens(of: 2 * pair) { coefficients[token] = share * batch.lossWeights[token] }
        for token in batch.packing.tokens(of: 2 * pair + 1) { coefficients[token] = -share * batch.lossWeights[token] }
      }
      return coefficients
    }
  }

  func sums(of batch: TokenBatch, logProbabilities: Buffer<Float>, denominators: [LossDenominator]) -> [Int64]? {
    var sum: Int64 = 0
    for margin in Self.margins(batch, logProbabilities.array()) {
      guard let loss = LossFixedPoint.encode(log1p(exp(-margin)), of: Int(denominators[0].count)) else { return nil }
      sum += loss
    }
    return [sum]
  }
}

/// Two terms with denominators of their own: the mean of −log p, and the mean over marked tokens of −(advantage · p).
private struct TwoTerms: Objective {
  let terms = ["likelihood", "policy"]

  func denominators(of batch: TokenBatch, microBatches: Int) -> [LossDenominator] {
    LanguageModeling().denominators(of: batch, microBatches: microBatches)
      + [LossDenominator(count: batch[.advantages].pointer.count { $0 != 0 })]
  }

  func coefficients(of batch: TokenBatch, denominators: [LossDenominator]) -> LossCoefficients {
    let (weights, advantages) = (batch.lossWeights, batch[.advantages])
    let (first, second) = (denominators[0].scale, denominators[1].scale)
    return .perToken { token, logProbability in
      (weights[token] == 0 ? 0 : first) + second * advantages[token] * exp(logProbability)
    }
  }

  func sums(of batch: TokenBatch, logProbabilities: Buffer<Float>, denominators: [LossDenominator]) -> [Int64]? {
    guard
      let first = LanguageModeling().sums(of: batch, logProbabilities: logProbabilities, denominators: denominators)
    else { return nil }
    var second: Int64 = 0
    for token in 0..<batch.tokenCount {
      let loss = -batch[.advantages][token] * exp(logProbabilities[token])
      guard let part = LossFixedPoint.encode(loss, of: batch.tokenCount) else { return nil }
      second += part
    }
    return first + [second]
  }
}

/// Objectives through a whole decoder, on packed sequences of unequal lengths.
@Suite struct ObjectiveTests {
  private struct Fixture {
    let configuration: ModelConfiguration
    let parameters: Arena<Float>
    let decoder: Decoder
    let accumulator: FixedPointGradientAccumulator
    let backend = Backend(threads: 2)

    init(_ family: String = "llama", _ extra: String = "", microBatches: Int = 1) throws {
      configuration = try tinyModel(family, extra + "\ninitializer_range: 0.4")
      let layout = ParameterLayout(configuration)
      parameters = Arena(count: layout.count)
      layout.initialize(parameters.buffer, configuration: configuration, seed: 3, backend: backend)
      decoder = Decoder(
        configuration, parameters: parameters.buffer, sequences: 4, length: 9, training: true, backend: backend)
      accumulator = FixedPointGradientAccumulator(count: layout.count, microBatches: microBatches)
      accumulator.reset([0..<layout.count], backend: backend)
    }

    /// The loss of some micro-batches that are one global batch, and their gradient.
    func train(_ batches: [TokenBatch], _ objective: any Objective) throws -> (loss: Double, gradient: [Int64]) {
      accumulator.reset([0..<parameters.count], backend: backend)
      let normalized = NormalizedObjective(objective, of: batches)
      var sums = [Int64](repeating: 0, count: objective.terms.count)
      for batch in batches {
        let result = try decoder.train(
          batch, objective: normalized, microBatches: batches.count, accumulator: accumulator)
        for (term, sum) in try #require(result.losses).enumerated() { sums[term] += sum }
      }
      return (normalized.loss(ofSums: sums), accumulator.sums.array())
    }

    /// Compares some elements of the gradient of every tensor with finite differences of the loss.
    func checkGradient(_ batch: TokenBatch, _ objective: any Objective) throws {
      let gradients = try train([batch], objective).gradient.map { Double($0) * 0x1p-52 }
      let largest = gradients.map(abs).max() ?? 0
      #expect(largest > 1e-3)
      let random = CounterBasedRandom(seed: 5, stream: 0)
      for (place, tensor) in decoder.layout.tensors.enumerated() {
        for sample in 0..<3 {
          let index =
            tensor.range.lowerBound + Int(random.bits(UInt64(3 * place + sample)).1) % tensor.range.count
          let value = parameters.buffer[index]
          func difference(_ step: Float) throws -> Double {
            parameters.buffer[index] = value + step
            let above = try train([batch], objective).loss
            parameters.buffer[index] = value - step
            let below = try train([batch], objective).loss
            parameters.buffer[index] = value
            return (above - below) / Double(2 * step)
          }
          let expected = (4 * (try difference(0x1p-7)) - (try difference(0x1p-6))) / 3
          #expect(
            abs(gradients[index] - expected) < 2e-3 * largest, "\(tensor.name)[\(index - tensor.range.lowerBound)]")
        }
      }
    }
  }

  /// Packed sequences of random tokens, all of them trained on.
  private func batch(_ lengths: [Int], columns: [TokenBatch.Column] = [], seed: UInt64 = 4) -> TokenBatch {
    let random = CounterBasedRandom(seed: seed, stream: 0)
    let batch = TokenBatch(SequencePacking(lengths: lengths), columns: columns)
    for (sequence, length) in lengths.enumerated() {
      batch.set(
        sequence: sequence, tokens: (0...length).map { Int32(random.bits(UInt64(100 * sequence + $0)).0 % 19) })
    }
    return batch
  }

  @Test func weightsOfZeroAndOneAreLanguageModelingToTheBit() throws {
    let batches = [batch([9, 4, 1]), batch([2, 9, 9, 9], seed: 5)]
    for (number, batch) in batches.enumerated() {
      for token in stride(from: number, to: batch.tokenCount, by: 3) { batch.lossWeights[token] = 0 }
    }
    let plain = try Fixture(microBatches: 2).train(batches, LanguageModeling())
    let weighted = try Fixture(microBatches: 2).train(batches, WeightedLanguageModeling())
    #expect(plain.loss == weighted.loss && plain.gradient == weighted.gradient)
    #expect(plain.gradient.contains { $0 != 0 })
  }

  @Test func fractionsMatchFiniteDifferences() throws {
    let batch = batch([9, 3, 6])
    let random = CounterBasedRandom(seed: 6, stream: 0)
    for token in 0..<batch.tokenCount {
      batch.lossWeights[token] = token % 4 == 0 ? 0 : Float(random.uniform(UInt64(token)))
    }
    try Fixture().checkGradient(batch, WeightedLanguageModeling())
  }

  /// Loss weights: twice the weight everywhere changes nothing, one token alone gives its own loss.
  @Test func weightsAreRelative() throws {
    let fixture = try Fixture()
    let (one, two) = (batch([9, 3]), batch([9, 3]))
    two.lossWeights.fill(2)
    let (first, second) = (
      try fixture.train([one], WeightedLanguageModeling()), try fixture.train([two], WeightedLanguageModeling())
    )
    #expect(abs(first.loss - second.loss) < 1e-9 && first.loss > 0)
    let single = batch([9, 3])
    single.lossWeights.fill(0)
    single.lossWeights[4] = 0.125
    let expected = -Double(try fixture.decoder.logProbabilities(single)[4])
    #expect(abs(try fixture.train([single], WeightedLanguageModeling()).loss - expected) < 1e-6)
  }

  @Test func nothingToTrainOnAddsNothing() throws {
    let batch = batch([5])
    batch.lossWeights.fill(0)
    for objective in [LanguageModeling(), WeightedLanguageModeling()] as [any Objective] {
      let result = try Fixture().train([batch], objective)
      #expect(result.loss == 0 && result.gradient.allSatisfy { $0 == 0 })
    }
  }

  @Test(arguments: ["llama", "mixtral"]) func pairsOfSequencesMatchFiniteDifferences(family: String) throws {
    let batch = batch([5, 8, 3, 9], columns: [.referenceLogProbabilities])
    batch[.referenceLogProbabilities].fill(-2)
    batch.lossWeights.prefix(2).fill(0)  // a prompt
    let extra = family == "mixtral" ? "num_local_experts: 2\nnum_experts_per_tok: 2" : ""
    try Fixture(family, extra).checkGradient(batch, PreferencePairs())
  }

  /// The gradient of a pair's coefficients at a margin of 0 is half of β times that of plain likelihood, with signs.
  @Test func pairsLowerTheRejected() throws {
    let fixture = try Fixture()
    let batch = batch([5, 5], columns: [.referenceLogProbabilities])
    let before = try fixture.decoder.logProbabilities(batch)
    for (token, value) in before.enumerated() { batch[.referenceLogProbabilities][token] = value }
    let result = try fixture.train([batch], PreferencePairs())
    #expect(abs(result.loss - log(2)) < 1e-6)
  }

  @Test func termsHaveDenominatorsOfTheirOwn() throws {
    let batch = batch([9, 3, 6], columns: [.advantages])
    for token in stride(from: 0, to: batch.tokenCount, by: 5) { batch[.advantages][token] = Float(token % 3) - 1.5 }
    try Fixture().checkGradient(batch, TwoTerms())
    batch[.advantages].fill(0)
    let fixture = try Fixture()
    let (two, one) = (try fixture.train([batch], TwoTerms()), try fixture.train([batch], LanguageModeling()))
    #expect(two.loss == one.loss && two.gradient == one.gradient)
  }

  /// A packed sequence has the log-probabilities that it has alone.
  @Test func packedSequencesDoNotSeeEachOther() throws {
    let fixture = try Fixture("mistral", "sliding_window: 4")
    let packed = batch([9, 1, 6])
    let together = try fixture.decoder.logProbabilities(packed)
    for sequence in 0..<3 {
      let rows = packed.packing.tokens(of: sequence)
      let alone = TokenBatch(sequences: 1, length: rows.count)
      alone.set(sequence: 0, tokens: packed.inputs[rows].array() + [packed.targets[rows.upperBound - 1]])
      for (own, other) in zip(try fixture.decoder.logProbabilities(alone), together[rows]) {
        #expect(abs(own - other) < 1e-5)
      }
    }
  }
}
