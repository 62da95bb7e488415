import Formats
import Foundation
import Kernels
import Models
import Support

extension PretrainedModel {
  /// Exports a folder that `transformers` loads: `config.json`, the weights, and the model's other files.
  ///
  /// Nothing appears there before all of it is complete. Weights of a former export are deleted: transformers would
  /// load `model.safetensors` before newer shards.
  ///
  /// - Parameters:
  ///   - dtype: of the weights; narrower ones are rounded to nearest even. Expert biases stay fp32, since their updates
  ///     are smaller than a narrow type's resolution.
  ///   - maximumShardBytes: the size above which the weights are split into shards with an index.
  ///   - files: the files of the model's own folder besides the weights.
  /// - Returns: notes for the user, a sentence each.
  /// - Throws: `ForgeError.badInput` that names a tensor with a value that is not finite or overflows `dtype`, and then
  ///   nothing is written; `ForgeError.tryAgain` when the disk fails.
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

  /// Whether a name is that of an export's weight file.
  private static func isWeights(_ name: String) -> Bool {
    name == SafetensorsCollection.singleFileName || name == SafetensorsCollection.indexFileName
      || name.wholeMatch(of: /model-\d{5}-of-\d{5}\.safetensors/) != nil
  }

  /// Validates that every value is finite, also as `type`.
  ///
  /// - Throws: `ForgeError.badInput` that names the tensor.
  private static func check(_ values: Buffer<Float>, of tensor: ParameterTensor, fits type: ScalarType) throws {
    let largest = values.pointer.reduce(UInt32(0)) { max($0, $1.bitPattern & 0x7FFF_FFFF) }
    let value = Float(bitPattern: largest)
    guard value.isFinite else {
      throw ForgeError.badInput(
        "the tensor '\(tensor.name)' has a value that is not finite, so nothing was written",
        hint: "export an earlier checkpoint", code: .diverged
      )
    }
    guard value < type.overflowThreshold else {
      throw ForgeError.badInput(
        "the tensor '\(tensor.name)' has a value of magnitude \(value), more than \(type.rawValue) can hold, so nothing "
          + "was written", hint: "choose \(type == .float16 ? "bf16 or fp32" : "fp32")", code: .diverged)
    }
  }
}

extension ScalarType {
  /// The min magnitude that rounds to infinity in this type.
  fileprivate var overflowThreshold: Float {
    switch self {
    case .float16: 65520
    // Halfway between the largest bfloat16 and the next power of two.
    case .bfloat16: Float(bitPattern: 0x7F7F_8000)
    default: .infinity
    }
  }
}
