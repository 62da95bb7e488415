import Diagnostics
import Foundation
import Kernels
import Models
import Pretrained

/// A model in memory.
struct LoadedModel {
  let configuration: ModelConfiguration
  let parameters: Arena<Float>

  /// - Parameter path: a Hugging Face folder, a run directory or a checkpoint.
  /// - Throws: `ForgeError` when there is no model, or it cannot be read.
  init(path: String, threads: Int) throws {
    guard threads > 0 else { throw ForgeError.badInput("--threads must be at least 1, not \(threads)") }
    let model = try PretrainedModel(path: path)
    configuration = model.configuration
    let count = ParameterLayout(configuration).count
    try AddressSpace.check(bytes: 4 * count)
    parameters = Arena(count: count)
    try model.load(into: parameters.buffer, threads: threads)
  }
}
