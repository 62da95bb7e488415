import Checkpoints
import ConfigurationFiles
import Formats
import Foundation
import Models
import Support

extension ModelConfiguration {
  /// The release of transformers that the files follow. Before 5, transformers reports the tokenizers of large Mistral
  /// vocabularies as broken.
  private static let transformersVersion = "5.24.0"
  /// Keys that are never copied from the source, since they describe the written file.
  private static let ownKeys: Set<String> = [
    "architectures", "model_type", "torch_dtype", "dtype", "transformers_version", "tie_word_embeddings",
  ]
  /// Keys about the source's origin or quantization, which are dropped.
  private static let droppedKeys: Set<String> = ["_name_or_path", "quantization_config"]
  /// Keys that are copied from the source although this program does not use them.
  private static let carriedKeys: Set<String> = ["attention_dropout", "use_cache"]

  /// Exports a `config.json` that transformers 4 and 5 read, and that this program reads back to the same
  /// configuration.
  ///
  /// - Parameters:
  ///   - dtype: the type of the weights beside it.
  ///   - source: the `config.json` of the folder that the model came from. Its values are kept as written if the
  ///     configuration is unchanged; keys that this program does not use are always kept.
  /// - Throws: `ForgeError.badInput` when `source` cannot be read.
  public func huggingFaceJSON(dtype: ScalarType = .float32, source: ConfigurationNode?) throws -> Data {
    guard let source, case .object(let stated) = JSONValue(source) else { return huggingFaceJSON(dtype: dtype) }
    let ours = huggingFaceKeys(dtype: dtype)
    var original = try ModelConfiguration(huggingFace: ConfigurationSection(source), author: .folder)
    original.tiedEmbeddings = tiedEmbeddings
    let isSame = original == self
    var keys = isSame ? ours.filter { Self.ownKeys.contains($0.key) || $0.key == "rope_theta" } : ours
    for (key, value) in stated where !Self.ownKeys.contains(key) && !Self.droppedKeys.contains(key) {
      if isSame || !Self.keys.contains(key) || Self.carriedKeys.contains(key) {
        keys[key] = accepted(value, key, ours: ours[key])
      }
    }
    // transformers 4 does not read rope_parameters, and 5 reads rope_scaling instead of them.
    if isSame, ours["rope_scaling"] != nil, case .object(var rope)? = stated["rope_parameters"],
      stated["rope_scaling"] ?? .null == .null
    {
      rope["rope_theta"] = nil
      keys["rope_scaling"] = .object(rope)
    }
    // With layer_types transformers requires a window, even where no layer has one.
    if family.hasLayerTypes, ours["layer_types"] == nil, keys.removeValue(forKey: "layer_types") != nil {
      keys["sliding_window"] = ours["sliding_window"]
    }
    if stated["dtype"] != nil { keys["dtype"] = keys["torch_dtype"] }
    if let version = stated["transformers_version"]?.string, Self.isNewer(version, than: Self.transformersVersion) {
      keys["transformers_version"] = .string(version)
    }
    return Self.data(keys)
  }

  /// Keys for which transformers rejects an integer.
  private static let floatKeys: Set<String> = [
    "clip_qkv", "initializer_range", "rms_norm_eps", "routed_scaling_factor", "router_aux_loss_coef",
    "router_jitter_noise",
  ]

  /// A source's value in a form that transformers 5 accepts; nil for none.
  private func accepted(_ value: JSONValue, _ key: String, ours: JSONValue?) -> JSONValue? {
    switch (value, ours) {
    case (.null, _):
      return family.writesNull(key) ? value : ours
    case (.integer(let number), _) where Self.floatKeys.contains(key): return .number(Double(number))
    case (.number(let number), let ours) where Self.isWhole(key, ours):
      return Int(exactly: number).map(JSONValue.integer) ?? value
    // One begin and one padding token, but any number of end tokens.
    case (.array, _) where key == "bos_token_id" || key == "pad_token_id": return ours
    case (.array(let items), _) where key == "eos_token_id":
      return .array(items.map { item in item.number.flatMap(Int.init(exactly:)).map(JSONValue.integer) ?? item })
    default: return value
    }
  }

  private static func isWhole(_ key: String, _ ours: JSONValue?) -> Bool {
    if case .number? = ours { return false }
    return keys.contains(key) && !floatKeys.contains(key)
  }

  /// Exports a `config.json` without a source.
  public func huggingFaceJSON(dtype: ScalarType = .float32) -> Data { Self.data(huggingFaceKeys(dtype: dtype)) }

  private static func data(_ keys: [String: JSONValue]) -> Data {
    Data((JSONValue.object(keys).indented() + "\n").utf8)
  }

  private static func isNewer(_ version: String, than other: String) -> Bool {
    func numbers(_ text: String) -> [Int] {
      text.split(separator: ".").prefix(3).map { part in Int(part.prefix { $0.isNumber }) ?? 0 }
    }
    return numbers(other).lexicographicallyPrecedes(numbers(version))
  }

  private func huggingFaceKeys(dtype: ScalarType) -> [String: JSONValue] {
    let keys: [String: JSONValue] = [
      "architectures": .array([.string(family.architecture)]), "model_type": .string(family.name),
      "vocab_size": .integer(vocabularySize), "hidden_size": .integer(hiddenSize),
      "intermediate_size": .integer(intermediateSize), "num_hidden_layers": .integer(layers),
      "num_attention_heads": .integer(heads), "num_key_value_heads": .integer(keyValueHeads),
      "head_dim": .integer(headDimension), "hidden_act": "silu", "rms_norm_eps": Self.number(normEpsilon),
      "max_position_embeddings": .integer(maximumPositions), "rope_theta": .number(rotary.theta),
      "tie_word_embeddings": .boolean(tiedEmbeddings), "attention_bias": .boolean(outputBias),
      "attention_dropout": 0.0, "initializer_range": Self.number(initializerRange),
      "torch_dtype": .string(dtype.torchName), "use_cache": true,
      "bos_token_id": Self.integer(beginOfSequence), "transformers_version": .string(Self.transformersVersion),
      "eos_token_id": endOfSequence.count > 1
        ? .array(endOfSequence.map(JSONValue.integer)) : Self.integer(endOfSequence.first),
    ]
    return keys.merging(family.exportedKeys(self).mapValues(JSONValue.init)) { _, ofFamily in ofFamily }
  }

  private static func integer(_ value: Int?) -> JSONValue { value.map(JSONValue.integer) ?? .null }

  /// The double with the float's shortest decimal representation.
  private static func number(_ value: Float) -> JSONValue { .number(Double("\(value)") ?? Double(value)) }
}

extension ScalarType {
  /// The type's name in a `config.json`.
  fileprivate var torchName: String {
    switch self {
    case .float16: "float16"
    case .bfloat16: "bfloat16"
    default: "float32"
    }
  }
}
