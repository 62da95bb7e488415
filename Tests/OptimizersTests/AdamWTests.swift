import Foundation
import Kernels
import Optimizers
import Testing

struct AdamWTests {
  private static let settings = AdamW.Settings(beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0)
  private let backend = Backend(threads: 2)

  private func minimise(
    from start: [Float], steps: Int, learningRate: (Int) -> Double, _ gradient: ([Double]) -> [Double]
  ) -> [Float] {
    OptimizersTests.minimise(
      from: start, settings: OptimizerSettings(adamW: Self.settings), rule: .adamW(decays: true), steps: steps,
      learningRate: learningRate, gradient)
  }

  @Test func findsTheVertexOfAParabola() {
    let vertex: [Double] = [3, -2, 0.5]
    let found = minimise(from: [0, 0, 0], steps: 600, learningRate: { 0.1 * pow(0.99, Double($0)) }) { x in
      zip(x, vertex).map { 2 * ($0 - $1) }
    }
    for (x, expected) in zip(found, vertex) { #expect(abs(Double(x) - expected) < 1e-3) }
  }

  /// (1 − x)² + 100 (y − x²)², a curved valley.
  @Test func findsTheEndOfRosenbrocksValley() {
    let found = minimise(from: [-1.2, 1], steps: 4000, learningRate: { 0.02 * pow(0.999, Double($0)) }) { p in
      [-2 * (1 - p[0]) - 400 * p[0] * (p[1] - p[0] * p[0]), 200 * (p[1] - p[0] * p[0])]
    }
    #expect(abs(found[0] - 1) < 0.02 && abs(found[1] - 1) < 0.04, "found \(found)")
  }

  /// Three tensors with gaps between them; the one in the middle has no decay.
  private static let tensors = [
    OptimizedTensor(range: 0..<40, rule: .adamW(decays: true)),
    OptimizedTensor(range: 48..<55, rule: .adamW(decays: false)),
    OptimizedTensor(range: 64..<100, rule: .adamW(decays: true)),
  ]

  private func train(_ owners: [[Range<Int>]], weightDecay: Double, gradient: (Int) -> Double) -> [Float] {
    let parameters = Arena<Float>(count: 100)
    for index in 0..<100 { parameters.buffer[index] = 1 + Float(index) / 7 }
    var settings = OptimizerSettings(adamW: Self.settings)
    settings.adamW.weightDecay = weightDecay
    let optimizers = owners.map { Optimizer(settings: settings, tensors: Self.tensors, shards: $0) }
    let sums = fixedPoint((0..<100).map(gradient))
    for step in 1...5 {
      for optimizer in optimizers {
        optimizer.update(
          step: step, learningRate: 0.01, gradientScale: 0.3, sums: sums.buffer, parameters: parameters.buffer,
          backend: backend)
      }
    }
    return parameters.buffer.array()
  }

  @Test func decaysWhereTheRuleSays() {
    let after = train([[0..<100]], weightDecay: 0.5) { _ in 0 }
    for (index, value) in after.enumerated() {
      let before = 1 + Float(index) / 7
      let decays = Self.tensors.contains { $0.range.contains(index) && $0.rule == .adamW(decays: true) }
      let expected = decays ? before * pow(0.995, 5) : before
      #expect(abs(value - expected) <= (decays ? 4 * expected.ulp : 0), "element \(index)")
    }
  }

  /// Sharding of the update, in shards that cut through tensors: the same bits.
  @Test func shardingLeavesNoTrace() {
    let gradient = { (index: Int) in sin(Double(index)) }
    let whole = train([[0..<100]], weightDecay: 0.1, gradient: gradient)
    #expect(train([[0..<33, 80..<100], [33..<80]], weightDecay: 0.1, gradient: gradient) == whole)
    #expect(train((0..<100).map { [$0..<$0 + 1] }, weightDecay: 0.1, gradient: gradient) == whole)
    #expect(train([[0..<33]], weightDecay: 0.1, gradient: gradient) != whole)
  }

  @Test func gapsAreNeverTouched() {
    let after = train([[0..<100]], weightDecay: 0.1) { _ in 1 }
    for index in 0..<100 where !Self.tensors.contains(where: { $0.range.contains(index) }) {
      #expect(after[index] == 1 + Float(index) / 7)
    }
  }
}
