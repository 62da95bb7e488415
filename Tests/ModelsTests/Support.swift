import Batches
import ConfigurationFiles
import Foundation
import Kernels
import Models

/// A `model:` section or `config.json`, given as YAML or JSON text.
func modelConfiguration(_ text: String) throws -> ModelConfiguration {
  let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).yaml")
  defer { try? FileManager.default.removeItem(at: file) }
  try text.write(to: file, atomically: true, encoding: .utf8)
  return try ModelConfiguration(huggingFace: ConfigurationSection(ConfigurationNode.load(path: file.path)))
}

/// The smallest model of a family with every feature that its `extra` keys turn on.
func tinyModel(_ family: String, _ extra: String = "") throws -> ModelConfiguration {
  try modelConfiguration(
    """
    model_type: \(family)
    vocab_size: 19
    hidden_size: 12
    intermediate_size: 10
    num_hidden_layers: 2
    num_attention_heads: 2
    num_key_value_heads: 1
    head_dim: 6
    \(extra)
    """)
}

extension TokenBatch {
  /// Fills in a sequence of several documents; a target that begins another document is not trained on.
  func set(sequence: Int, tokens: [Int32], documentStarts starts: [Int32]) {
    set(sequence: sequence, tokens: tokens)
    for (place, row) in packing.tokens(of: sequence).enumerated() {
      documentStarts[row] = starts[place]
      positions[row] = Int32(place) - starts[place]
      let crosses = place + 1 < starts.count && starts[place + 1] == Int32(place + 1)
      lossWeights[row] = crosses ? 0 : 1
    }
  }
}
