import Batches
import ConfigurationFiles
import Formats
import Foundation
import Kernels
import Models
import Objectives
import Testing

/// Losses, log-probabilities and every parameter's gradient against PyTorch (`scripts/parity/fixtures.py`).
struct ReferenceTests {
  static let variants = (try? FileManager.default.contentsOfDirectory(atPath: fixtures)) ?? []
  static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Fixtures").path

  struct Case: Decodable {
    var tokens: [[Int32]]
    var document_starts: [[Int32]]
    var loss: Double
    var total: Double
    var load_balancing_coefficient: Double?
  }

  /// Without fixtures no test would fail.
  @Test func fixturesAreThere() {
    #expect(Self.variants.count >= 15, "\(Self.fixtures) holds \(Self.variants.sorted())")
  }

  @Test(arguments: variants.sorted(), MatrixBackend.allCases)
  func matchesPyTorch(variant: String, matrixBackend: MatrixBackend) throws {
    for threads in 1...2 {
      try matchesPyTorch(variant, Backend(threads: threads, matrixBackend: matrixBackend))
    }
  }

  private func matchesPyTorch(_ variant: String, _ backend: Backend) throws {
    let folder = Self.fixtures + "/" + variant
    let weights = try SafetensorsCollection(path: folder)
    let cases = try FileManager.default.contentsOfDirectory(atPath: folder)
      .filter { $0.hasSuffix(".json") && $0 != "config.json" }.map { String($0.dropLast(5)) }
    #expect(!cases.isEmpty)
    for name in cases {
      let reference = try JSONDecoder().decode(
        Case.self, from: Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name).json")))
      let expected = try SafetensorsFile(path: "\(folder)/\(name).safetensors")
      var node = try ConfigurationNode.load(path: folder + "/config.json")
      if let coefficient = reference.load_balancing_coefficient {
        try node.set("router_aux_loss_coef=\(coefficient)")
        try node.set("output_router_logits=true")
      }
      let configuration = try ModelConfiguration(huggingFace: ConfigurationSection(node))
      let layout = ParameterLayout(configuration)
      let parameters = Arena<Float>(count: layout.count)
      for tensor in layout.tensors {
        try weights.read(tensor.name, shape: tensor.shape, into: parameters.buffer[tensor.range].pointer)
      }
      let length = reference.tokens[0].count - 1
      let decoder = Decoder(
        configuration, parameters: parameters.buffer, sequences: reference.tokens.count, length: length, training: true,
        backend: backend)
      let batch = TokenBatch(sequences: reference.tokens.count, length: length)
      for (index, tokens) in reference.tokens.enumerated() {
        batch.set(sequence: index, tokens: tokens, documentStarts: reference.document_starts[index])
      }
      let accumulator = FixedPointGradientAccumulator(count: layout.count, microBatches: 1)
      let objective = NormalizedObjective(LanguageModeling(), of: [batch])
      let result = try decoder.train(batch, objective: objective, microBatches: 1, accumulator: accumulator)
      let loss = objective.loss(ofSums: try #require(result.losses))
      #expect(abs(loss - reference.loss) < 5e-6, "\(variant)/\(name): loss \(loss), expected \(reference.loss)")
      let total = loss + LossFixedPoint.decode(try #require(result.auxiliaryLoss))
      #expect(abs(total - reference.total) < 5e-6, "\(variant)/\(name): total \(total), expected \(reference.total)")
      #expect(!accumulator.hasOverflowed)
      let gradients = Arena<Float>(count: layout.count)
      backend.convert(accumulator.sums, to: gradients.buffer)
      for tensor in layout.tensors {
        var values = [Float](repeating: 0, count: tensor.range.count)
        try values.withUnsafeMutableBufferPointer {
          try expected.read("gradient." + tensor.name, shape: tensor.shape, into: $0)
        }
        let own = gradients.buffer[tensor.range]
        var difference = 0.0
        var norm = 0.0
        for (i, value) in values.enumerated() {
          difference += pow(Double(own[i] - value), 2)
          norm += pow(Double(value), 2)
        }
        #expect(
          difference.squareRoot() <= 1e-5 * norm.squareRoot() + 1e-12,
          "\(variant)/\(name): gradient of \(tensor.name) is off by \((difference / norm).squareRoot())")
      }
    }
  }
}
