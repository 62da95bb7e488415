import Batches
import ConfigurationFiles
import Kernels
import Models
import Objectives
import Testing

@testable import Parallelism

/// A group of one rank whose transfers are complete when a script says so.
private final class ScriptedDispatcher: TokenDispatcher {
  let localExperts: Range<Int>
  let shadowsExperts = false
  private let parts: Int
  private let script: (_ look: Int) -> Bool
  private(set) var looks = 0
  private(set) var timings: [ExpertTiming] = []

  init(experts: Int, parts: Int, script: @escaping (Int) -> Bool) {
    localExperts = 0..<experts
    self.parts = parts
    self.script = script
  }

  func receiveCapacity(of rows: Int) -> ReceiveCapacity { ReceiveCapacity(all: rows, received: 0) }

  func beginDispatch(_ offsets: Buffer<Int32>, timing: ExpertTiming) -> TokenDispatch {
    timings.append(timing)
    let counts = localExperts.map { Int(offsets[$0 + 1] - offsets[$0]) }
    let round = TokenDispatch(counts: counts, experts: localExperts, rank: 0, chunks: 2, parts: parts)
    round.plan = DispatchPlan(counts: [counts], experts: [localExperts], rank: 0, chunks: 2)
    return round
  }

  func startDispatch(_ chunk: Int, of round: TokenDispatch, from own: Matrix, to received: Matrix) -> Int { chunk }
  func startReturn(_ chunk: Int, of round: TokenDispatch, from received: Matrix, to own: Matrix) -> Int { chunk }
  func startShadowing(_ round: TokenDispatch, from experts: Buffer<Float>, to hosted: Buffer<Float>) -> Int { 0 }
  func startReturningShadowGradient(_ round: TokenDispatch, from hosted: Buffer<Float>, to shadowed: Buffer<Float>)
    -> Int
  { 0 }

  func isComplete(_ transfer: Int) -> Bool {
    looks += 1
    return script(looks)
  }

  func wait(for transfer: Int) {}
}

/// Received and local rows are computed with in any order of arrival: each once, with the same bits.
@Suite struct ServingOrderTests {
  private func sums(_ dispatcher: (any TokenDispatcher)?) throws -> (loss: Int64?, gradient: [Int64]) {
    let text = """
      { model_type: mixtral, vocab_size: 19, hidden_size: 12, intermediate_size: 10, num_hidden_layers: 2,
        num_attention_heads: 2, num_key_value_heads: 1, head_dim: 6, num_local_experts: 5, num_experts_per_tok: 2,
        initializer_range: 0.4 }
      """
    let configuration = try ModelConfiguration(
      huggingFace: ConfigurationSection(ConfigurationNode.parse(text, source: "test")))
    let layout = ParameterLayout(configuration)
    let parameters = Arena<Float>(count: layout.count)
    let backend = Backend(threads: 1)
    layout.initialize(parameters.buffer, configuration: configuration, seed: 3, backend: backend)
    let decoder = Decoder(
      configuration, parameters: parameters.buffer, sequences: 1, length: 40, training: true,
      exchange: dispatcher.map { DistributedExperts($0, expertSize: layout.expertSize) }, backend: backend)
    let batch = TokenBatch(sequences: 1, length: 40)
    let random = CounterBasedRandom(seed: 4, stream: 0)
    let tokens = (0...40).map { Int32(random.bits(UInt64($0)).0 % 19) }
    batch.set(sequence: 0, tokens: tokens)
    let accumulator = FixedPointGradientAccumulator(count: layout.count, microBatches: 1)
    let result = try decoder.train(
      batch, objective: NormalizedObjective(LanguageModeling(), of: [batch]), microBatches: 1, accumulator: accumulator)
    return (result.losses?[0], accumulator.sums.array())
  }

  @Test(arguments: [1, 2, 5, 9]) func orderLeavesNoTrace(parts: Int) throws {
    let expected = try sums(nil)
    #expect(expected.gradient.contains { $0 != 0 })
    let scripts: [(Int) -> Bool] = [
      { _ in true }, { _ in false }, { $0.isMultiple(of: 2) }, { $0.isMultiple(of: 3) }, { !$0.isMultiple(of: 4) },
    ]
    for (place, script) in scripts.enumerated() {
      let dispatcher = ScriptedDispatcher(experts: 5, parts: parts, script: script)
      let found = try sums(dispatcher)
      #expect(found.loss == expected.loss && found.gradient == expected.gradient, "script \(place)")
      #expect(dispatcher.looks > 0)
    }
  }

  /// The second layer dispatches with the timing of the first.
  @Test func thePaceIsToldWithTheCounts() throws {
    let dispatcher = ScriptedDispatcher(experts: 5, parts: 5) { _ in true }
    let start = ContinuousClock.now
    _ = try sums(dispatcher)
    let longest = (ContinuousClock.now - start) / .nanoseconds(1)
    #expect(dispatcher.timings.count == 2 && dispatcher.timings[0].row == 0)
    #expect(dispatcher.timings.allSatisfy { $0.preExpert > 0 && Double($0.preExpert) * 1000 < longest })
    #expect(dispatcher.timings[1].row > 0 && Double(dispatcher.timings[1].row) * 80 < longest)
  }
}
