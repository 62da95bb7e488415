import Configuration
import Formats
import Foundation
import Kernels
import Models
import Pretrained
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

  /// As transformers keeps them.
  @Test func selectionBiasesStayWide() throws {
    try written("dots1", dtype: .bfloat16) { folder, _ in
      let tensors = try SafetensorsCollection(path: folder).tensors
      #expect(tensors["model.layers.1.mlp.gate.e_score_correction_bias"]?.dtype == .float32)
      #expect(tensors["model.layers.1.mlp.gate.weight"]?.dtype == .bfloat16)
    }
  }
}
