import Foundation
import Kernels
import Optimizers
import Testing

struct AdamWTests {
  private static let settings = AdamW.Settings(beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0)
  private let compute = Compute(threads: 2)

  private func shards(_ ranges: [Range<Int>]) -> [ParameterShard] {
    var offset = 0
    return ranges.map { range in
      defer { offset += range.count }
      return ParameterShard(range: range, momentOffset: offset)
    }
  }

  private func sums(_ gradient: [Double]) -> Arena<Int64> {
    let sums = Arena<Int64>(count: gradient.count)
    for (index, value) in gradient.enumerated() { sums.buffer[index] = Int64(value * 0x1p52) }
    return sums
  }

  /// Minimises a function from a starting point, given its gradient.
  private func minimise(
    from start: [Float], steps: Int, learningRate: (Int) -> Double, _ gradient: ([Double]) -> [Double]
  ) -> [Float] {
    let all = 0..<start.count
    let optimizer = AdamW(
      settings: Self.settings, groups: [AdamW.Group(range: all, decays: true)], shards: shards([all]))
    let parameters = Arena<Float>(count: start.count)
    for index in all { parameters.buffer[index] = start[index] }
    for step in 1...steps {
      let sums = sums(gradient(parameters.buffer.array().map(Double.init)))
      optimizer.update(
        step: step, learningRate: learningRate(step), gradientScale: 1, sums: sums.buffer,
        parameters: parameters.buffer, compute: compute)
    }
    return parameters.buffer.array()
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
  private static let groups = [
    AdamW.Group(range: 0..<40, decays: true), AdamW.Group(range: 48..<55, decays: false),
    AdamW.Group(range: 64..<100, decays: true),
  ]

  private func train(_ owners: [[Range<Int>]], weightDecay: Double, gradient: (Int) -> Double) -> [Float] {
    let parameters = Arena<Float>(count: 100)
    for index in 0..<100 { parameters.buffer[index] = 1 + Float(index) / 7 }
    var settings = Self.settings
    settings.weightDecay = weightDecay
    let optimizers = owners.map { AdamW(settings: settings, groups: Self.groups, shards: shards($0)) }
    let sums = sums((0..<100).map(gradient))
    for step in 1...5 {
      for optimizer in optimizers {
        optimizer.update(
          step: step, learningRate: 0.01, gradientScale: 0.3, sums: sums.buffer, parameters: parameters.buffer,
          compute: compute)
      }
    }
    return parameters.buffer.array()
  }

  @Test func decaysWhereTheGroupSays() {
    let after = train([[0..<100]], weightDecay: 0.5) { _ in 0 }
    for (index, value) in after.enumerated() {
      let before = 1 + Float(index) / 7
      let decays = Self.groups.contains { $0.range.contains(index) && $0.decays }
      let expected = decays ? before * pow(0.995, 5) : before
      #expect(abs(value - expected) <= (decays ? 4 * expected.ulp : 0), "element \(index)")
    }
  }

  /// Whoever owns a parameter, in shards that cut through tensors: the same bits.
  @Test func shardingLeavesNoTrace() {
    let gradient = { (index: Int) in sin(Double(index)) }
    let whole = train([[0..<100]], weightDecay: 0.1, gradient: gradient)
    #expect(train([[0..<33, 80..<100], [33..<80]], weightDecay: 0.1, gradient: gradient) == whole)
    #expect(train((0..<100).map { [$0..<$0 + 1] }, weightDecay: 0.1, gradient: gradient) == whole)
    #expect(train([[0..<33]], weightDecay: 0.1, gradient: gradient) != whole)
  }

  @Test func gapsAreNeverTouched() {
    let after = train([[0..<100]], weightDecay: 0.1) { _ in 1 }
    for index in 0..<100 where !Self.groups.contains(where: { $0.range.contains(index) }) {
      #expect(after[index] == 1 + Float(index) / 7)
    }
  }
}
