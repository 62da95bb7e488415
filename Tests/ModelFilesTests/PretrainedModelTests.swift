import ConfigurationFiles
import Formats
import Foundation
import Kernels
import ModelFiles
import Models
import Testing

/// Models of all families, from folders that ModelsTests compares with transformers.
struct PretrainedModelTests {
  static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "ModelsTests/Fixtures").path
  static let variants = ((try? FileManager.default.contentsOfDirectory(atPath: fixtures)) ?? []).sorted()

  private func written(
    _ variant: String, dtype: ScalarType, _ body: (_ folder: String, _ before: PretrainedModel) throws -> Void
  ) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let model = try PretrainedModel(path: Self.fixtures + "/" + variant)
    let parameters = Arena<Float>(count: ParameterLayout(model.configuration).count)
    try model.load(into: parameters.buffer)
    try PretrainedModel.write(model.configuration, parameters: parameters.buffer, folder: folder, dtype: dtype)
    withExtendedLifetime(parameters) {}
    try body(folder, model)
  }

  private func weights(_ model: PretrainedModel) throws -> [Float] {
    let parameters = Arena<Float>(count: ParameterLayout(model.configuration).count)
    try model.load(into: parameters.buffer)
    return withExtendedLifetime(parameters) { parameters.buffer.array() }
  }

  @Test(arguments: variants)
  func comesBackAsItWas(variant: String) throws {
    try written(variant, dtype: .float32) { folder, before in
      let after = try PretrainedModel(path: folder)
      #expect(after.configuration == before.configuration)
      #expect(try weights(after) == weights(before))
    }
  }

  /// The names that transformers 5 reads beside those of our exports: all experts of a layer in two tensors, another name
  /// of the expert layer, the body saved alone, and the language model within one of images and text.
  @Test(arguments: ["mixtral", "qwen3_moe", "dots1", "olmoe"])
  func fusedExpertsAreRead(variant: String) throws {
    try rewritten(variant) { layout, weights in
      var tensors: [(String, [Int], [Float])] = []
      for layer in layout.blocks.indices {
        let experts = layout.tensors.filter { $0.name.hasPrefix("model.layers.\(layer).") && $0.matrix != nil }
        guard let width = experts.first?.shape[0], let hidden = experts.first?.shape[1] else { continue }
        func values(_ places: [ParameterTensor.ExpertMatrix.Place]) -> [Float] {
          experts.filter { places.contains($0.matrix?.place ?? .down) }.flatMap { weights[$0.range] }
        }
        let (name, count) = ("model.layers.\(layer).mlp.experts.", layout.expertCount)
        tensors.append((name + "gate_up_proj", [count, 2 * width, hidden], values([.gate, .up])))
        tensors.append((name + "down_proj", [count, hidden, width], values([.down])))
      }
      for tensor in layout.tensors where tensor.matrix == nil {
        tensors.append(
          (tensor.name.replacing("block_sparse_moe", with: "mlp"), tensor.shape, Array(weights[tensor.range])))
      }
      return (tensors, nil)
    }
  }

  @Test(arguments: [
    ("llama-tied", "", ""), ("ministral3", "language_model.model.", "language_model.lm_head.weight"),
    ("ministral3", "model.language_model.", "lm_head.weight"), ("mistral", "model.language_model.", "lm_head.weight"),
  ])
  func otherPrefixesAreRead(variant: String, prefix: String, head: String) throws {
    let isWrapped = !prefix.isEmpty
    try rewritten(variant, isWrapped: isWrapped) { layout, weights in
      var tensors = layout.tensors.map { tensor in
        let isHead = tensor.name == "lm_head.weight"
        return (
          isHead ? head : prefix + tensor.name.dropFirst("model.".count), tensor.shape, Array(weights[tensor.range])
        )
      }
      if isWrapped { tensors.append(("vision_tower.patch_conv.weight", [2], [1, 2])) }
      return (tensors, isWrapped ? "mistral3" : nil)
    }
  }

  /// Writes a model's weights under other names, and expects the same model in them, whole and in parts.
  private func rewritten(
    _ variant: String, isWrapped: Bool = false,
    _ tensors: (ParameterLayout, [Float]) -> (
      tensors: [(name: String, shape: [Int], values: [Float])], wrapper: String?
    )
  ) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let model = try PretrainedModel(path: Self.fixtures + "/" + variant)
    let (layout, expected) = (ParameterLayout(model.configuration), try weights(model))
    let (named, wrapper) = tensors(layout, expected)
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    var text = try String(contentsOfFile: Self.fixtures + "/\(variant)/config.json", encoding: .utf8)
    if let wrapper {
      text = "{\"model_type\": \"\(wrapper)\", \"tie_word_embeddings\": false, \"text_config\": \(text)}"
    }
    try text.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
    let writer = try SafetensorsWriter(
      folder: folder, tensors: named.map { SafetensorsWriter.Tensor(name: $0.name, shape: $0.shape, dtype: .float32) },
      maximumShardByteCount: 20_000)
    for tensor in named { try tensor.values.withUnsafeBufferPointer { try writer.write(tensor.name, $0) } }
    try writer.finish()
    let other = try PretrainedModel(path: folder)
    #expect(other.configuration == model.configuration && other.notes.count == (isWrapped ? 1 : 0))
    #expect(try weights(other) == expected)
    let part = Arena<Float>(count: layout.count)
    let ranges = [7..<layout.count / 2 - 3, layout.count / 2 + 1..<layout.count - 5]
    try other.load(into: part.buffer, ranges: ranges)
    for range in ranges { #expect(part.buffer[range].array() == Array(expected[range])) }
  }

  /// As transformers keeps them.
  @Test func expertBiasesStayWide() throws {
    try written("dots1", dtype: .bfloat16) { folder, _ in
      let tensors = try SafetensorsCollection(path: folder).tensors
      #expect(tensors["model.layers.1.mlp.gate.e_score_correction_bias"]?.dtype == .float32)
      #expect(tensors["model.layers.1.mlp.gate.weight"]?.dtype == .bfloat16)
    }
  }
}
