import Inference
import Kernels
import Models
import Testing

/// When generation ends, with a one-layer model of random weights.
struct GeneratorTests {
  private func decoder(capacity: Int) -> IncrementalDecoder {
    let configuration = ModelConfiguration(
      family: .llama, vocabularySize: 40, hiddenSize: 16, intermediateSize: 24, layers: 1, heads: 2, keyValueHeads: 1,
      headDimension: 8, normEpsilon: 1e-5, rotary: RotaryConfiguration(theta: 10_000), maximumPositions: 64,
      tiedEmbeddings: false, attentionBias: false, outputBias: false, queryKeyNorm: .none, windows: [nil], experts: nil,
      sparseLayers: [false], initializerRange: 1, beginOfSequence: 1, endOfSequence: [2])
    let backend = Backend(threads: 1)
    let layout = ParameterLayout(configuration)
    let parameters = Arena<Float>(count: layout.count)
    layout.initialize(parameters.buffer, configuration: configuration, seed: 4, backend: backend)
    return IncrementalDecoder(configuration, parameters: parameters, capacity: capacity, backend: backend)
  }

  private func generate(maximumTokens: Int, capacity: Int = 64, end: Int32? = nil) -> ([Int32], Generator.FinishReason)
  {
    var tokens: [Int32] = []
    let generator = Generator(decoder(capacity: capacity), sampler: Sampler(seed: 9), ends: end.map { [$0] } ?? [])
    let reason = generator.generate(prompt: [1, 5], maximumTokens: maximumTokens) { tokens.append($0) }
    return (tokens, reason)
  }

  @Test func stopsAtTheLimitTheCapacityOrTheEnd() {
    let (tokens, reason) = generate(maximumTokens: 20)
    #expect(tokens.count == 20 && reason == .length)
    // The last token need not be read, so one more than fits is made.
    #expect(generate(maximumTokens: 20, capacity: 10).0 == Array(tokens.prefix(9)))
    let end = tokens[12]
    let (untilEnd, endReason) = generate(maximumTokens: 20, end: end)
    #expect(untilEnd == Array(tokens.prefix { $0 != end }) && endReason == .endOfSequence)
  }
}
