import ConfigurationFiles
import Support

extension ModelConfiguration {
  /// Keys that are accepted only in a folder's file.
  private static let folderKeys: Set<String> = ["original_max_position_embeddings"]

  /// The source of the keys, which determines how unknown ones are handled.
  public enum Author: Sendable {
    /// The `model:` section of a run, or this program: an unknown key is an error.
    case run
    /// The `config.json` of a folder: an unknown key is logged and ignored unless it is known to change the
    /// computation, and defaults are those of transformers.
    case folder
  }

  /// Reads the keys of a Hugging Face `config.json`, as transformers 4 or 5 writes it, from the file itself or from the
  /// `model:` section of a run's configuration.
  ///
  /// - Parameters:
  ///   - overrides: the run's own `model:` section where `section` is a model folder's `config.json`; its router
  ///     settings win, and a coefficient of a router loss there turns it on.
  ///   - note: called with a line on the keys of a folder that are ignored.
  /// - Throws: `ForgeError.badInput`, located, for an unknown key of a run, a missing or wrong value, or a feature that
  ///   this decoder does not compute.
  public init(
    huggingFace section: ConfigurationSection, overrides: ConfigurationSection? = nil, author: Author = .run,
    note: (String) -> Void = { _ in }
  ) throws {
    let isFolder = author == .folder
    if !isFolder { try section.finish(alsoAllowed: Self.keys.union(Self.ignoredKeys)) }
    let familyName = try section.string("model_type") ?? "llama"
    guard let family = ModelFamily.named(familyName) else {
      throw section.error(
        "model_type",
        "'\(familyName)' is not supported", hint: "use one of \(ModelFamily.all.map(\.name).joined(separator: ", "))",
        code: .unsupportedModel)
    }
    if isFolder { try Self.refuseNulls(section, family: family) }
    for section in [overrides, isFolder ? nil : section].compactMap({ $0 }) {
      try Self.refuseUnusedKeys(section, family: family)
    }
    func positive(_ key: String, default standard: Int? = nil, maximum: Int = Self.largestNumber) throws -> Int {
      guard let value = try section.integer(key) ?? standard else {
        throw section.error(key, "is missing", code: .missingSetting)
      }
      guard value > 0 else { throw section.error(key, "must be positive, not \(value)") }
      try Self.check(value, key, in: section, maximum: maximum)
      return value
    }
    let hiddenSize = try positive("hidden_size")
    let layers = try positive("num_hidden_layers", maximum: Self.maxLayers)
    let heads = try positive("num_attention_heads")
    let defaults = family.defaults
    // Null: as many as there are attention heads.
    let isNull = section.mentions("num_key_value_heads")
    let keyValueHeads = try positive(
      "num_key_value_heads", default: isNull ? heads : defaults.keyValueHeads ?? heads)
    guard heads % keyValueHeads == 0 else {
      throw section.error(
        "num_key_value_heads", "is \(keyValueHeads), which does not divide num_attention_heads = \(heads)",
        code: .conflictingSettings)
    }
    let headDimension = try positive("head_dim", default: defaults.headDimension ?? hiddenSize / heads)
    guard headDimension % 2 == 0 else {
      throw section.error("head_dim", "is \(headDimension)", hint: "it must be even")
    }
    guard section.contains("head_dim") || defaults.headDimension != nil || hiddenSize % heads == 0 else {
      throw section.error(
        "hidden_size", "is \(hiddenSize), not a multiple of num_attention_heads = \(heads)", hint: "set head_dim",
        code: .conflictingSettings)
    }
    // In transformers the weights of such norms have hidden_size elements.
    guard family.queryKeyNorm != .projection || heads * headDimension == hiddenSize else {
      throw section.error(
        "head_dim",
        "is \(headDimension)",
        hint: "in \(family.name) models it must be hidden_size / num_attention_heads = \(hiddenSize) / \(heads)",
        code: .conflictingSettings)
    }
    if let activation = try section.string("hidden_act"), activation != "silu", activation != "swish" {
      throw section.error(
        "hidden_act", "'\(activation)' is not supported", hint: "only silu is", code: .unsupportedModel)
    }
    if !isFolder {
      if try section.boolean("mlp_bias") ?? false {
        throw section.error("mlp_bias", "is not supported", code: .unsupportedModel)
      }
      if try section.number("attention_dropout") ?? 0 > 0 {
        throw section.error("attention_dropout", "is not supported", code: .unsupportedModel)
      }
      if section.contains("quantization_config") {
        throw section.error(
          "quantization_config", "is not supported", hint: "convert the weights to fp32, bf16 or fp16 first",
          code: .unsupportedModel)
      }
    }

    let maximumPositions = try positive("max_position_embeddings", default: defaults.maximumPositions)
    let statesBiases = family.attentionBiases == .stated ? try section.boolean("attention_bias") ?? false : false
    self.init(
      family: family, vocabularySize: try positive("vocab_size"), hiddenSize: hiddenSize,
      intermediateSize: try positive("intermediate_size"), layers: layers, heads: heads, keyValueHeads: keyValueHeads,
      headDimension: headDimension,
      normEpsilon: try Self.notNegative(section, "rms_norm_eps", default: defaults.normEpsilon),
      rotary: try RotaryConfiguration(
        huggingFace: section, maximumPositions: maximumPositions, family: family, isFolder: isFolder, note: note),
      maximumPositions: maximumPositions, tiedEmbeddings: try section.boolean("tie_word_embeddings") ?? false,
      attentionBias: statesBiases || family.attentionBiases == .queryKeyValue, outputBias: statesBiases,
      queryKeyNorm: family.queryKeyNorm,
      queryKeyValueBound: try family.hasQueryKeyValueBound ? Self.bound(section) : nil,
      windows: try Self.windows(section, family: family, layers: layers, isFolder: isFolder),
      experts: try family.experts.map {
        try Self.experts(section, overrides: overrides, form: $0, isFolder: isFolder)
      },
      sparseLayers: try Self.sparseLayers(section, family: family, layers: layers),
      initializerRange: try Self.notNegative(section, "initializer_range", default: 0.02),
      beginOfSequence: try Self.tokens(section, "bos_token_id", default: isFolder ? defaults.begin : nil).first,
      endOfSequence: try Self.tokens(section, "eos_token_id", default: isFolder ? defaults.end : nil),
      padding: try Self.tokens(section, "pad_token_id", default: isFolder ? defaults.padding : nil).first)
    try checkSize(in: section)
    guard isFolder else { return }
    try refuseForeignKeys(section, isTrained: overrides != nil)
    let nulls = family.nulls.defaulted.filter { section.mentions($0) && !section.contains($0) }
    if !nulls.isEmpty {
      note("\(section.location.source): null is read as the default: \(nulls.joined(separator: ", "))")
    }
    let known = Self.keys.union(Self.ignoredKeys).union(Self.folderKeys)
    let unknown = section.entries.map(\.key).filter { !known.contains($0) }
    let aliases = Set(family.experts?.folderCountKeys ?? [])
    let unused = unknown + Self.unusedKeys(section, family: family).filter { !aliases.contains($0) }
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

  /// The bound of queries, keys and values; nil for none.
  private static func bound(_ section: ConfigurationSection) throws -> Float? {
    let key = "clip_qkv"
    guard let bound = try section.number(key) else { return nil }
    guard bound > 0, bound.isFinite else { throw section.error(key, "must be positive, or null for no bound") }
    return Float(bound)
  }

  /// The ids under a key that holds one or a list.
  private static func tokens(_ section: ConfigurationSection, _ key: String, default standard: Int?) throws -> [Int] {
    guard let node = section.node(key) else { return section.mentions(key) ? [] : [standard].compactMap(\.self) }
    if case .sequence = node.value { return try section.integers(key) ?? [] }
    return try [section.integer(key)].compactMap(\.self)
  }

  /// The window of each layer's attention, from `sliding_window` and `layer_types`.
  private static func windows(
    _ section: ConfigurationSection, family: ModelFamily, layers: Int, isFolder: Bool
  ) throws -> [Int?] {
    let form = family.windows
    var window = form == nil ? nil : try section.integer("sliding_window")
    if !section.mentions("sliding_window") { window = family.defaults.window }
    if form?.hasSwitch == true, try !(section.boolean("use_sliding_window") ?? false) { window = nil }
    if let window, window < 1 { throw section.error("sliding_window", "must be positive, not \(window)") }
    let hasTypes = form?.hasLayerTypes == true
    guard let types = isFolder || hasTypes ? try layerTypes(section, layers: layers) : nil else {
      guard let standard = form?.firstLayer else { return Array(repeating: window, count: layers) }
      let first = try section.integer("max_window_layers") ?? standard
      return (0..<layers).map { $0 >= first ? window : nil }
    }
    if isFolder, window == nil, types.contains(.sliding) {
      throw section.error(
        "layer_types", "names sliding_attention, and no sliding_window counts for this model",
        code: .conflictingSettings)
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
      throw section.error(
        "layer_types", "names \(names.count) layers, but num_hidden_layers is \(layers)", code: .conflictingSettings)
    }
    return try names.map { name in
      guard let type = LayerType(rawValue: name) else {
        throw section.error(
          "layer_types", "names '\(name)', which is not supported",
          hint: "only full_attention and sliding_attention are", code: .unsupportedModel)
      }
      return type
    }
  }
}
