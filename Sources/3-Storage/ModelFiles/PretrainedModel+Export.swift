import Formats
import Foundation
import Kernels
import Models
import Support

extension PretrainedModel {
  /// Writes a folder that `transformers` loads: `config.json`, the weights, and what came with the model.
  ///
  /// Nothing appears there before all of it is complete. Weights that a former export left there go: transformers would
  /// take `model.safetensors` before newer shards.
  ///
  /// - Parameters:
  ///   - dtype: of the weights; narrower ones are rounded to nearest even. Selection biases stay as they are, since
  ///     a bias moves by less than a narrow type tells apart.
  ///   - maximumShardBytes: above it the weights are split into shards with an index.
  ///   - files: what the model's own folder held beside the weights.
  /// - Returns: what the user should know about what was written, a sentence each.
  /// - Throws: `ForgeError.badInput` that names a tensor with a value that is not finite or that `dtype` cannot hold, and
  ///   then nothing is written; `ForgeError.tryAgain` when the disk fails.
  @discardableResult
  public static func write(
    _ configuration: ModelConfiguration, parameters: Buffer<Float>, folder: String, dtype: ScalarType = .float32,
    maximumShardBytes: Int = 5_000_000_000, files: ModelFolderFiles = ModelFolderFiles()
  ) throws -> [String] {
    var files = files
    let notes = [files.beginAsTrained(), files.leftOutNote].compactMap(\.self)
    let tensors = ParameterLayout(configuration).tensors.map { tensor in
      (tensor, type: tensor.role == .expertBias ? ScalarType.float32 : dtype)
    }
    for (tensor, type) in tensors { try check(parameters[tensor.range], of: tensor, fits: type) }
    let text = try configuration.huggingFaceJSON(dtype: dtype, source: files.configuration)
    let output = try TemporaryFolder(beside: folder)
    let writer = try SafetensorsWriter(
      folder: output.path,
      tensors: tensors.map { SafetensorsWriter.Tensor(name: $0.name, shape: $0.shape, dtype: $1) },
      maximumShardByteCount: maximumShardBytes)
    for (tensor, _) in tensors {
      try writer.write(tensor.name, UnsafeBufferPointer(parameters[tensor.range].pointer))
    }
    try writer.finish()
    try files.write(to: output.path, withConfiguration: false)
    let file = try OutputFile(path: output.path + "/config.json")
    try text.withUnsafeBytes { try file.append($0) }
    try file.commit()
    let written = Set(try FileManager.default.contentsOfDirectory(atPath: output.path))
    try output.move(to: folder)
    for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    where isWeights(name) && !written.contains(name) {
      try? FileManager.default.removeItem(atPath: folder + "/" + name)
    }
    return notes
  }

  /// Whether a file is one that an export writes weights to.
  private static func isWeights(_ name: String) -> Bool {
    name == SafetensorsCollection.singleFileName || name == SafetensorsCollection.indexFileName
      || name.wholeMatch(of: /model-\d{5}-of-\d{5}\.safetensors/) != nil
  }

  /// - Throws: `ForgeError.badInput` unless every value is finite and stays so as `type`.
  private static func check(_ values: Buffer<Float>, of tensor: ParameterTensor, fits type: ScalarType) throws {
    let largest = values.pointer.reduce(UInt32(0)) { max($0, $1.bitPattern & 0x7FFF_FFFF) }
    let value = Float(bitPattern: largest)
    guard value.isFinite else {
      throw ForgeError.badInput(
        "the tensor '\(tensor.name)' has a value that is not finite, so nothing was written; export an earlier checkpoint"
      )
    }
    guard value < type.overflowThreshold else {
      throw ForgeError.badInput(
        "the tensor '\(tensor.name)' has a value of magnitude \(value), more than \(type.rawValue) can hold, so nothing "
          + "was written; choose \(type == .float16 ? "bf16 or fp32" : "fp32")")
    }
  }
}

extension ScalarType {
  /// The smallest magnitude that becomes infinite when it is rounded to this type.
  fileprivate var overflowThreshold: Float {
    switch self {
    case .float16: 65520
    // Halfway between the largest bfloat16 and the next power of two.
    case .bfloat16: Float(bitPattern: 0x7F7F_8000)
    default: .infinity
    }
  }
}
