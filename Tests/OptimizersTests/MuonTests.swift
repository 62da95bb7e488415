import Foundation
import Kernels
import Optimizers
import Testing

struct MuonTests {
  private static let settings = OptimizerSettings(
    adamW: AdamW.Settings(beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1), muon: Muon.Settings())

  /// Fixtures of scripts/fixtures/muon.py.
  private struct Fixture: Decodable {
    struct Tensor: Decodable {
      var rule: String
      var shape: [Int]
      var start: [Float]
      var gradients: [[Double]]
      var parameters: [[Double]]
      var first: [Double]
      var second: [Double]?

      var optimizerRule: UpdateRule {
        rule == "muon" ? .muon(rows: shape[0], columns: shape[1]) : .adamW(decays: shape.count > 1)
      }
    }
    var learning_rates: [Double]
    var gradient_scales: [Float]
    var tensors: [Tensor]

    static func load() throws -> Fixture {
      let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/muon.json")
      return try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: path))
    }

    /// The tensors one behind the other.
    var optimized: [OptimizedTensor] {
      var offset = 0
      return tensors.map { tensor in
        defer { offset += tensor.start.count }
        return OptimizedTensor(range: offset..<offset + tensor.start.count, rule: tensor.optimizerRule)
      }
    }

    /// Trains all tensors, with an optimizer for each rank's shards, and returns the parameters after each step.
    func train(_ owners: [[Range<Int>]], threads: Int = 2, afterStep: (Int, [Float]) -> Void) -> [Optimizer] {
      let start = tensors.flatMap(\.start)
      let parameters = Arena<Float>(count: start.count)
      for (index, value) in start.enumerated() { parameters.buffer[index] = value }
      let backend = Backend(threads: threads)
      let optimizers = owners.map { Optimizer(settings: settings, tensors: optimized, shards: $0) }
      for step in learning_rates.indices {
        let sums = fixedPoint(tensors.flatMap { $0.gradients[step] })
        for optimizer in optimizers {
          optimizer.update(
            step: step + 1, learningRate: learning_rates[step], gradientScale: gradient_scales[step],
            sums: sums.buffer, parameters: parameters.buffer, backend: backend)
        }
        afterStep(step, parameters.buffer.array())
      }
      return optimizers
    }
  }

  /// The largest difference, as a fraction of the largest expected magnitude.
  private func error(_ actual: some Sequence<Float>, _ expected: [Double]) -> Double {
    let scale = expected.map(abs).max() ?? 0
    return zip(actual, expected).map { abs(Double($0) - $1) }.reduce(0) { $1 > $0 || $1.isNaN ? $1 : $0 } / scale
  }

  /// Wide, tall, square and one-row matrices under Muon, a vector and a matrix under AdamW, four steps, with clipping.
  @Test func followsPyTorch() throws {
    let fixture = try Fixture.load()
    let optimized = fixture.optimized
    let count = optimized[optimized.count - 1].range.upperBound
    #expect(fixture.tensors.count == 7 && fixture.learning_rates.count == 4)
    let optimizer = fixture.train([[0..<count]]) { step, parameters in
      for (tensor, place) in zip(fixture.tensors, optimized) {
        let error = error(parameters[place.range], tensor.parameters[step])
        #expect(error < 2e-6, "\(tensor.rule) \(tensor.shape) is off by \(error) after step \(step + 1)")
      }
    }[0]
    #expect(optimizer.slices.map(\.tensor) == Array(fixture.tensors.indices))
    for part in optimizer.slices {
      let tensor = fixture.tensors[part.tensor]
      #expect(part.range == optimized[part.tensor].range)
      #expect(part.first.count == part.range.count && error(part.first.array(), tensor.first) < 1e-6)
      #expect((part.second == nil) == (tensor.rule == "muon"))
      if let second = part.second, let expected = tensor.second {
        #expect(second.count == part.range.count && error(second.array(), expected) < 1e-6)
      }
    }
  }

  /// Sharding by tensors, and by parts of those that AdamW updates, with any number of threads: the same bits.
  @Test func shardingLeavesNoTrace() throws {
    let fixture = try Fixture.load()
    let ranges = fixture.optimized.map(\.range)
    let all = 0..<ranges[ranges.count - 1].upperBound
    func bits(_ owners: [[Range<Int>]], threads: Int = 2) -> [UInt32] {
      var bits: [UInt32] = []
      _ = fixture.train(owners, threads: threads) { _, parameters in bits = parameters.map(\.bitPattern) }
      return bits
    }
    let whole = bits([[all]])
    let cut = ranges[1].lowerBound + 3
    #expect(bits([[0..<cut], [cut..<all.upperBound]]) == whole)
    #expect(
      bits([[ranges[0], ranges[3]], [], [ranges[1], ranges[2]], [ranges[4].lowerBound..<all.upperBound]]) == whole)
    #expect(bits([[all]], threads: 1) == whole)
    #expect(bits([[all]], threads: 3) == whole)
    #expect(bits([[0..<cut]]) != whole)
  }

  /// The momentum of all elements, the second moment of AdamW's, and scratch memory that no tensor can enlarge forever.
  @Test func plansItsMemory() {
    let matrix = OptimizedTensor(range: 10..<70, rule: .muon(rows: 6, columns: 10))
    let tensors = [OptimizedTensor(range: 0..<10, rule: .adamW(decays: false)), matrix]
    #expect(Optimizer.plannedBytes(tensors: tensors, shards: [0..<10]) == 8 * 10)
    // Its momentum; its update, a copy of that, a Gram matrix and its polynomial.
    let bytes = 4 * 60 + 4 * (60 + 60 + 36 + 36)
    #expect(Optimizer.plannedBytes(tensors: tensors, shards: [10..<70]) == bytes)
    #expect(Optimizer.plannedBytes(tensors: tensors, shards: [0..<5, 8..<70]) == 8 * 7 + bytes)
    let many = (0..<1000).map {
      OptimizedTensor(range: $0 << 16..<($0 + 1) << 16, rule: .muon(rows: 256, columns: 256))
    }
    let planned = Optimizer.plannedBytes(tensors: many, shards: [0..<1000 << 16])
    #expect(planned > 4 * 1000 << 16 && planned <= 4 * 1000 << 16 + 32 << 20)
  }

  /// ‖X − A‖², from zero.
  @Test(arguments: [(3, 5), (5, 3), (4, 4)])
  func findsTheVertexOfAParabola(rows: Int, columns: Int) {
    let vertex = (0..<rows * columns).map { 2 * sin(Double(3 * $0 + 1)) }
    var settings = Self.settings
    settings.muon?.weightDecay = 0
    let found = minimise(
      from: vertex.map { _ in 0 }, settings: settings, rule: .muon(rows: rows, columns: columns), steps: 600,
      learningRate: { 0.3 * pow(0.985, Double($0)) }
    ) { x in zip(x, vertex).map { 2 * ($0 - $1) } }
    for (x, expected) in zip(found, vertex) { #expect(abs(Double(x) - expected) < 1e-3) }
  }

  /// Rosenbrock's valley (1 − x)² + 100 (y − x²)² in each of two columns.
  @Test func findsTheEndOfRosenbrocksValley() {
    var settings = Self.settings
    settings.muon?.weightDecay = 0
    let found = minimise(
      from: [-1.2, 0.5, 1, -0.5], settings: settings, rule: .muon(rows: 2, columns: 2), steps: 6000,
      learningRate: { 0.05 * pow(0.999, Double($0)) }
    ) { p in
      var gradient = [0.0, 0, 0, 0]
      for column in 0..<2 {
        let (x, y) = (p[column], p[2 + column])
        gradient[column] = -2 * (1 - x) - 400 * x * (y - x * x)
        gradient[2 + column] = 200 * (y - x * x)
      }
      return gradient
    }
    for x in found { #expect(abs(x - 1) < 0.05, "found \(found)") }
  }
}
