import ConfigurationFiles
import Formats
import Foundation
import Inference
import Kernels
import Models
import Testing

/// Incremental decoding gives the results of the whole forward pass, which ModelsTests compares with PyTorch.
struct IncrementalDecoderTests {
  static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "ModelsTests/Fixtures").path
  static let variants = ((try? FileManager.default.contentsOfDirectory(atPath: fixtures)) ?? []).sorted()

  private struct Model {
    let configuration: ModelConfiguration
    let parameters: Arena<Float>

    init(_ variant: String) throws {
      let folder = fixtures + "/" + variant
      let node = try ConfigurationNode.load(path: folder + "/config.json")
      configuration = try ModelConfiguration(huggingFace: ConfigurationSection(node))
      let layout = ParameterLayout(configuration)
      parameters = Arena(count: layout.count)
      let weights = try SafetensorsCollection(path: folder)
      for tensor in layout.tensors {
        try weights.read(tensor.name, shape: tensor.shape, into: parameters.buffer[tensor.range].pointer)
      }
    }

    func tokens(_ count: Int) -> [Int32] {
      let random = CounterBasedRandom(seed: 5, stream: 0)
      return (0..<count).map { Int32(random.uniform(UInt64($0)) * Double(configuration.vocabularySize)) }
    }

    func incremental(
      _ capacity: Int, threads: Int = 1, matrixBackend: MatrixBackend = .openblas
    ) -> IncrementalDecoder {
      IncrementalDecoder(
        configuration, parameters: parameters, capacity: capacity,
        backend: Backend(threads: threads, matrixBackend: matrixBackend))
    }

    func scores(_ tokens: [Int32], _ matrixBackend: MatrixBackend = .openblas) throws -> [Float] {
      try Scorer(
        configuration, parameters: parameters, longest: tokens.count,
        backend: Backend(threads: 1, matrixBackend: matrixBackend)
      ).score(tokens).logProbabilities
    }
  }

  @Test(arguments: variants, [0, 1, 63, 64, 130])
  func equalsTheWholeForwardPass(variant: String, promptLength: Int) throws {
    let model = try Model(variant)
    let tokens = model.tokens(201)
    let expected = try model.scores(tokens)
    let decoder = model.incremental(tokens.count)
    if promptLength > 0 { decoder.prefill(tokens[..<promptLength]) }
    // Haswell's kernels compute a row by its place among twelve, which differs between the two ways.
    let limit: Float = KernelFamily.current.name == "skylakex" ? 0 : 1e-5
    for position in promptLength..<tokens.count - 1 {
      _ = decoder.step(tokens[position])
      let difference = abs(decoder.logProbability(of: tokens[position + 1]) - expected[position])
      #expect(difference <= limit, "\(variant), token \(position + 1)")
    }
  }

  /// Our own products give a row the same bits among any others.
  @Test(arguments: variants, [0, 1, 63, 64, 130])
  func equalsTheWholeForwardPassExactly(variant: String, promptLength: Int) throws {
    let model = try Model(variant)
    let tokens = model.tokens(201)
    let expected = try model.scores(tokens, .native)
    let decoder = model.incremental(tokens.count, threads: 2, matrixBackend: .native)
    if promptLength > 0 { decoder.prefill(tokens[..<promptLength]) }
    let actual = (promptLength..<tokens.count - 1).map { position in
      _ = decoder.step(tokens[position])
      return decoder.logProbability(of: tokens[position + 1])
    }
    #expect(actual == Array(expected[promptLength...]))
  }

  @Test(arguments: variants)
  func forgettingAndThreadsLeaveNoTrace(variant: String) throws {
    let model = try Model(variant)
    let tokens = model.tokens(90)
    let expected = model.incremental(90).prefill(tokens)
    let decoder = model.incremental(90, threads: 2)
    decoder.prefill(tokens.reversed())
    decoder.position = 0
    #expect(decoder.prefill(tokens) == expected)
    decoder.position = 80
    decoder.prefill(tokens[..<10])
    decoder.position = 89
    decoder.position = 0
    #expect(decoder.prefill(tokens) == expected)
  }
}
