import Kernels

/// A model family: everything that depends on a `config.json`'s `model_type`, in one value.
///
/// What is computed is said by the fields of `ModelConfiguration`, and nothing else asks for the family's name. A family
/// says by which keys these fields are given, what holds where a key is left out, and how files name the tensors;
/// docs/add-a-family.md leads through a new one.
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
  /// nil where attention sees all tokens before its own.
  var windows: WindowForm?
  /// nil for a dense family.
  var experts: ExpertForm?
  /// Keys that its files have and that change nothing here.
  var idleKeys: Set<String> = []
  /// The `model_type` of image-and-text models that hold a model of this family as their `text_config`.
  public var wrappers: Set<String> = []

  /// What transformers takes where a `config.json` leaves a key out.
  struct Defaults: Sendable {
    /// nil: as many as there are attention heads.
    var keyValueHeads: Int?
    /// nil: `hidden_size` / `num_attention_heads`.
    var headDimension: Int?
    var maximumPositions: Int
    var normEpsilon = 1e-6
    /// Of `rope_theta`.
    var theta = 10_000.0
    /// Where nothing is said of the rotary embedding; nil for the plain one.
    var rotary: RotaryConfiguration?
    /// Of `sliding_window`.
    var window: Int?
    /// Of `bos_token_id`, `eos_token_id` and `pad_token_id`.
    var begin: Int?
    var end: Int?
    var padding: Int?
  }

  /// What a null in a `config.json` means, where it is not that nothing is set.
  struct Nulls: Sendable {
    /// Keys whose null transformers refuses, or fails on: it is neither the family's default nor anything else.
    var refused: [String]
    /// Keys whose null transformers 5 refuses and older versions took for no: read as the default, never written.
    var defaulted: [String]
    /// Keys whose null is read for what it says, but refused by transformers 5 and so never written.
    var spelledOut: [String]

    /// - Parameters: beside the keys that are the same in every family.
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
    /// On queries, keys and values, always.
    case queryKeyValue
    /// On all four projections where `attention_bias` says so.
    case stated
  }

  /// Keys of a `config.json` that this family has and others may lack.
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

/// How a family says which layers attend within a sliding window: `sliding_window`, and what tells layers apart.
struct WindowForm: Sendable {
  /// Whether the window counts only where `use_sliding_window` says so.
  var hasSwitch = false
  /// Whether `layer_types` names each layer's attention.
  var hasLayerTypes = false
  /// What `max_window_layers`, the first layer with a window where types are not named, is by default; nil where a family
  /// does not tell layers apart by their number.
  var firstLayer: Int?

  var keys: Set<String> {
    var keys: Set = ["sliding_window"]
    if hasSwitch { keys.insert("use_sliding_window") }
    if hasLayerTypes { keys.insert("layer_types") }
    if firstLayer != nil { keys.insert("max_window_layers") }
    return keys
  }
}
