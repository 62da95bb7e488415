import Configuration
import Diagnostics

extension ModelConfiguration {
  /// Keys that only a folder's file may have.
  private static let folderKeys: Set<String> = ["original_max_position_embeddings"]

  /// Who wrote the keys, which decides how unknown ones are met.
  public enum Author: Sendable {
    /// The user, as the `model:` section of a run, or this program: an unknown key is a mistake.
    case run
    /// Anybody, as the `config.json` of a folder: an unknown key is named and left alone unless it is known to change the
    /// computation, and what is left out is what transformers takes it for.
    case folder
  }

  /// Reads the keys of a Hugging Face `config.json`, in the form of transformers 4 or 5, from the file itself or from
  /// the `model:` section of a run's configuration.
  ///
  /// - Parameters:
  ///   - overrides: the run's own `model:` section where `section` is a model folder's `config.json`; its router
  ///     settings win, and asking for a router loss there turns it on.
  ///   - note: told, in one line, which keys of a folder are left alone.
  /// - Throws: `ForgeError.badInput`, located, for an unknown key of a run, a missing or wrong value, or a feature that
  ///   this decoder does not compute.
  public init(
    huggingFace section: ConfigurationSection, overrides: ConfigurationSection? = nil, author: Author = .run,
    note: (String) -> Void = { _ in }
  ) throws {
    let isFolder = author == .folder
    if !isFolder { try section.finish(alsoAllowed: Self.keys.union(Self.ignoredKeys)) }
    let familyName = try section.string("model_type") ?? "llama"
    guard let family = Family(rawValue: familyName) else {
      throw section.error(
        "model_type",
        "'\(familyName)' is not supported; use one of \(Family.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    if isFolder { try Self.refuseNulls(section, family: family) }
    func positive(_ key: String, default standard: Int? = nil, most: Int = Self.largestNumber) throws -> Int {
      guard let value = try section.integer(key) ?? standard else { throw section.error(key, "is missing") }
      guard value > 0 else { throw section.error(key, "must be positive, not \(value)") }
      try Self.check(value, key, in: section, most: most)
      return value
    }
    let hiddenSize = try positive("hidden_size")
    let layers = try positive("num_hidden_layers", most: Self.mostLayers)
    let heads = try positive("num_attention_heads")
    let defaults = FamilyDefaults(family)
    // A null says: as many as there are heads.
    let isNull = section.mentions("num_key_value_heads")
    let keyValueHeads = try positive(
      "num_key_value_heads", default: isNull ? heads : defaults.keyValueHeads ?? heads)
    guard heads % keyValueHeads == 0 else {
      throw section.error(
        "num_key_value_heads", "is \(keyValueHeads), which does not divide num_attention_heads = \(heads)")
    }
    let headDimension = try positive("head_dim", default: family == .qwen3 ? 128 : hiddenSize / heads)
    guard headDimension % 2 == 0 else { throw section.error("head_dim", "is \(headDimension); it must be even") }
    guard section.contains("head_dim") || family == .qwen3 || hiddenSize % heads == 0 else {
      throw section.error(
        "hidden_size", "is \(hiddenSize), not a multiple of num_attention_heads = \(heads); set head_dim")
    }
    if let activation = try section.string("hidden_act"), activation != "silu", activation != "swish" {
      throw section.error("hidden_act", "'\(activation)' is not supported; only silu is")
    }
    if !isFolder {
      if try section.boolean("mlp_bias") ?? false { throw section.error("mlp_bias", "is not supported") }
      if try section.number("attention_dropout") ?? 0 > 0 {
        throw section.error("attention_dropout", "is not supported")
      }
      if section.contains("quantization_config") {
        throw section.error("quantization_config", "is not supported; convert the weights to fp32, bf16 or fp16 first")
      }
    }

    let maximumPositions = try positive("max_position_embeddings", default: defaults.maximumPositions)
    self.init(
      family: family, vocabularySize: try positive("vocab_size"), hiddenSize: hiddenSize,
      intermediateSize: try positive("intermediate_size"), layers: layers, heads: heads, keyValueHeads: keyValueHeads,
      headDimension: headDimension,
      normEpsilon: try Self.notNegative(section, "rms_norm_eps", default: defaults.normEpsilon),
      rotary: try RotaryConfiguration(
        huggingFace: section, maximumPositions: maximumPositions, defaultTheta: defaults.theta, isFolder: isFolder,
        note: note),
      maximumPositions: maximumPositions, tiedEmbeddings: try section.boolean("tie_word_embeddings") ?? false,
      attentionBias: family == .mistral || family == .mixtral ? false : try section.boolean("attention_bias") ?? false,
      queryKeyNorm: family == .qwen3 || family == .qwen3MoE || family == .dots1,
      windows: try Self.windows(
        section, family: family, layers: layers, standard: defaults.window, isFolder: isFolder),
      experts: try Self.experts(section, overrides: overrides, family: family, isFolder: isFolder),
      sparseLayers: try Self.sparseLayers(section, family: family, layers: layers),
      initializerRange: try Self.notNegative(section, "initializer_range", default: 0.02),
      beginOfSequence: try Self.tokens(section, "bos_token_id", default: isFolder ? defaults.begin : nil).first,
      endOfSequence: try Self.tokens(section, "eos_token_id", default: isFolder ? defaults.end : nil),
      padding: try Self.tokens(section, "pad_token_id", default: nil).first)
    try checkSize(in: section)
    guard isFolder else { return }
    try refuseForeignKeys(section, isTrained: overrides != nil)
    let nulls = Self.defaultedNulls(family).filter { section.mentions($0) && !section.contains($0) }
    if !nulls.isEmpty {
      note("\(section.location.source): null is read as the default: \(nulls.joined(separator: ", "))")
    }
    let known = Self.keys.union(Self.ignoredKeys).union(Self.folderKeys)
    let unknown = section.entries.map(\.key).filter { !known.contains($0) }
    let unused = unknown + Self.unusedKeys(section, family: family)
    guard !unused.isEmpty else { return }
    note("\(section.location.source): not used by this program: \(unused.joined(separator: ", "))")
  }

  static func notNegative(
    _ section: ConfigurationSection, _ key: String, default standard: Double
  ) throws -> Float {
    let value = Float(try section.number(key) ?? standard)
    guard value >= 0, value.isFinite else { throw section.error(key, "must be a number that is not negative") }
    return value
  }

  /// The ids under a key that holds one or a list.
  private static func tokens(_ section: ConfigurationSection, _ key: String, default standard: Int?) throws -> [Int] {
    guard let node = section.node(key) else { return section.mentions(key) ? [] : [standard].compactMap(\.self) }
    if case .sequence = node.value { return try section.integers(key) ?? [] }
    return try [section.integer(key)].compactMap(\.self)
  }

  /// The window of each layer's attention, as `sliding_window` and `layer_types` say.
  private static func windows(
    _ section: ConfigurationSection, family: Family, layers: Int, standard: Int?, isFolder: Bool
  ) throws -> [Int?] {
    let isQwen = family == .qwen3 || family == .qwen3MoE
    var window = family == .llama ? nil : try section.integer("sliding_window")
    if !section.mentions("sliding_window") { window = standard }
    if isQwen, try !(section.boolean("use_sliding_window") ?? false) { window = nil }
    if let window, window < 1 { throw section.error("sliding_window", "must be positive, not \(window)") }
    // transformers takes a mistral model with layer_types for a ministral one, whose layers may differ.
    let hasTypes = family == .qwen3 || family == .dots1 || family == .mistral
    guard let types = isFolder || hasTypes ? try layerTypes(section, layers: layers) : nil else {
      guard family == .qwen3 || family == .dots1 else { return Array(repeating: window, count: layers) }
      let firstSliding = try section.integer("max_window_layers") ?? (family == .dots1 ? 62 : 28)
      return (0..<layers).map { $0 >= firstSliding ? window : nil }
    }
    if isFolder, window == nil, types.contains(.sliding) {
      throw section.error("layer_types", "names sliding_attention, and no sliding_window counts for this model")
    }
    return types.map { hasTypes && $0 == .full ? nil : window }
  }

  private enum LayerType: String {
    case full = "full_attention"
    case sliding = "sliding_attention"
  }

  private static func layerTypes(_ section: ConfigurationSection, layers: Int) throws -> [LayerType]? {
    guard let names = try section.strings("layer_types") else { return nil }
    guard names.count == layers else {
      throw section.error("layer_types", "names \(names.count) layers, but num_hidden_layers is \(layers)")
    }
    return try names.map { name in
      guard let type = LayerType(rawValue: name) else {
        throw section.error(
          "layer_types", "names '\(name)', which is not supported; only full_attention and sliding_attention are")
      }
      return type
    }
  }
}
