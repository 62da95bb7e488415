import Kernels

/// A model family: everything that depends on a `config.json`'s `model_type`, in one value.
///
/// What is computed depends on the fields of `ModelConfiguration` only; no code branches on the family's name. A family
/// defines the keys of these fields, their defaults, and the tensor names in files; docs/add-a-family.md describes how
/// to add one.
public struct ModelFamily: Sendable {
  /// The `model_type`.
  public let name: String
  /// The class of transformers, which `architectures` names.
  public let architecture: String
  var defaults: Defaults
  var nulls: Nulls
  var attentionBiases = AttentionBiases.none
  var queryKeyNorm = ModelConfiguration.QueryKeyNorm.none
  /// Whether `clip_qkv` bounds queries, keys and values.
  var hasQueryKeyValueBound = false
  /// Whether the rope settings' `llama_4_scaling_beta` scales queries by their position.
  var hasQueryScale = false
  /// nil for full causal attention in every layer.
  var windows: WindowForm?
  /// nil for a dense family.
  var experts: ExpertForm?
  /// Keys of its files that are accepted and not used.
  var idleKeys: Set<String> = []
  /// The `model_type` of image-and-text models that hold a model of this family as their `text_config`.
  public var wrappers: Set<String> = []

  /// Defaults of transformers for keys that a `config.json` leaves out.
  struct Defaults: Sendable {
    /// nil: as many as there are attention heads.
    var keyValueHeads: Int?
    /// nil: `hidden_size` / `num_attention_heads`.
    var headDimension: Int?
    var maximumPositions: Int
    var normEpsilon = 1e-6
    /// The default of `rope_theta`.
    var theta = 10_000.0
    /// The rotary embedding without rope settings; nil for the plain one.
    var rotary: RotaryConfiguration?
    /// The default of `sliding_window`.
    var window: Int?
    /// The defaults of `bos_token_id`, `eos_token_id` and `pad_token_id`.
    var begin: Int?
    var end: Int?
    var padding: Int?
  }

  /// How nulls in a `config.json` are read, where not as an unset value.
  struct Nulls: Sendable {
    /// Keys whose null transformers rejects or fails on; it is rejected here too.
    var refused: [String]
    /// Keys whose null transformers 5 rejects and older versions read as false: read as the default, never written.
    var defaulted: [String]
    /// Keys whose null has its own meaning, but is rejected by transformers 5 and so never written.
    var spelledOut: [String]

    /// - Parameters: keys besides those that are the same in every family.
    init(refused: [String] = [], defaulted: [String] = [], spelledOut: [String] = []) {
      self.refused = ["max_position_embeddings", "rms_norm_eps", "hidden_act"] + refused
      self.defaulted =
        ["tie_word_embeddings", "initializer_range", "use_cache", "is_encoder_decoder", "chunk_size_feed_forward"]
        + defaulted
      self.spelledOut = spelledOut
    }
  }

  enum AttentionBiases: Sendable {
    case none
    /// Always on queries, keys and values.
    case queryKeyValue
    /// On all four projections if `attention_bias` is true.
    case stated
  }

  /// Keys of a `config.json` that this family has and others may not.
  var keys: Set<String> {
    var keys = idleKeys
    if attentionBiases == .stated { keys.insert("attention_bias") }
    if hasQueryKeyValueBound { keys.insert("clip_qkv") }
    return keys.union(windows?.keys ?? []).union(experts?.keys ?? [])
  }
}

extension ModelFamily: Equatable {
  public static func == (one: ModelFamily, other: ModelFamily) -> Bool { one.name == other.name }
}

/// The sliding-window part of a family: `sliding_window`, and the keys that select the layers.
struct WindowForm: Sendable {
  /// Whether the window applies only if `use_sliding_window` is true.
  var hasSwitch = false
  /// Whether `layer_types` sets each layer's attention.
  var hasLayerTypes = false
  /// The default of `max_window_layers`, the first layer with a window where `layer_types` is left out; nil for a
  /// family without that key.
  var firstLayer: Int?

  var keys: Set<String> {
    var keys: Set = ["sliding_window"]
    if hasSwitch { keys.insert("use_sliding_window") }
    if hasLayerTypes { keys.insert("layer_types") }
    if firstLayer != nil { keys.insert("max_window_layers") }
    return keys
  }
}
