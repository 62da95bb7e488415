import Kernels

/// The configuration of a decoder, in the terms of a Hugging Face `config.json`.
///
/// One decoder covers all families; their differences are values here, never a branch on the family's name.
public struct ModelConfiguration: Sendable, Equatable {
  /// RMSNorm of queries and of keys (QK-norm), before they are rotated.
  public enum QueryKeyNorm: Sendable {
    case none
    /// Every head by itself, with one weight `[headDimension]` for all.
    case head
    /// All heads together, with a weight as wide as the projection.
    case projection
  }

  /// A mixture of experts: routed experts, and shared ones that every token goes through.
  public struct Experts: Sendable, Equatable {
    public var count: Int
    /// Experts per token (top-k).
    public var perToken: Int
    /// Columns of one expert's hidden layer.
    public var intermediateSize: Int
    /// Columns of the shared experts' hidden layer, which are one dense layer; 0 for none.
    public var sharedIntermediateSize: Int
    public var router: Router
    /// The update rate of the expert biases (`e_score_correction_bias`) in auxiliary-loss-free balancing; 0 keeps them
    /// constant, nil is for a router without them.
    public var biasUpdateRate: Float?
    public var balancing: Balancing

    public init(
      count: Int, perToken: Int, intermediateSize: Int, sharedIntermediateSize: Int = 0, router: Router,
      biasUpdateRate: Float? = nil, balancing: Balancing
    ) {
      self.count = count
      self.perToken = perToken
      self.intermediateSize = intermediateSize
      self.sharedIntermediateSize = sharedIntermediateSize
      self.router = router
      self.biasUpdateRate = biasUpdateRate
      self.balancing = balancing
    }
  }

  /// The auxiliary losses of load balancing; a coefficient of 0 turns one off (formulas in docs/arithmetic.md).
  public struct Balancing: Sendable, Equatable {
    /// The tokens whose load is balanced: those of all layers together, as in transformers, or layer by layer.
    public enum Scope: String, Sendable, CaseIterable { case model, layer }

    /// Whether the load-balancing loss is on.
    public var isOn: Bool
    /// The loss's coefficient; when the loss is off, the value that an export writes.
    public var statedLoadCoefficient: Float
    public var zCoefficient: Float
    public var scope: Scope

    public init(isOn: Bool, statedLoadCoefficient: Float, zCoefficient: Float, scope: Scope) {
      self.isOn = isOn
      self.statedLoadCoefficient = statedLoadCoefficient
      self.zCoefficient = zCoefficient
      self.scope = scope
    }

    public var loadCoefficient: Float { isOn ? statedLoadCoefficient : 0 }
  }

  public var family: ModelFamily
  public var vocabularySize: Int
  public var hiddenSize: Int
  /// Columns of a dense layer's hidden layer.
  public var intermediateSize: Int
  public var layers: Int
  public var heads: Int
  public var keyValueHeads: Int
  public var headDimension: Int
  public var normEpsilon: Float
  public var rotary: RotaryConfiguration
  public var maximumPositions: Int
  public var tiedEmbeddings: Bool
  /// Biases on the query, key and value projections.
  public var attentionBias: Bool
  /// Biases on the output projection of attention.
  public var outputBias: Bool
  public var queryKeyNorm: QueryKeyNorm
  /// The largest magnitude of an element of queries, keys and values, to which larger ones are clamped; nil for any.
  public var queryKeyValueBound: Float?
  /// Per layer, the tokens a position attends to (itself included); nil for all before it.
  public var windows: [Int?]
  /// nil for a dense model.
  public var experts: Experts?
  /// Per layer, whether the feed-forward layer is made of experts.
  public var sparseLayers: [Bool]
  public var initializerRange: Float
  public var beginOfSequence: Int?
  /// The tokens that end a generation; the first one ends a document.
  public var endOfSequence: [Int]
  public var padding: Int?

  public init(
    family: ModelFamily, vocabularySize: Int, hiddenSize: Int, intermediateSize: Int, layers: Int, heads: Int,
    keyValueHeads: Int, headDimension: Int, normEpsilon: Float, rotary: RotaryConfiguration, maximumPositions: Int,
    tiedEmbeddings: Bool, attentionBias: Bool, outputBias: Bool, queryKeyNorm: QueryKeyNorm,
    queryKeyValueBound: Float? = nil, windows: [Int?], experts: Experts?, sparseLayers: [Bool], initializerRange: Float,
    beginOfSequence: Int?, endOfSequence: [Int],
    padding: Int? = nil
  ) {
    self.family = family
    self.vocabularySize = vocabularySize
    self.hiddenSize = hiddenSize
    self.intermediateSize = intermediateSize
    self.layers = layers
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.headDimension = headDimension
    self.normEpsilon = normEpsilon
    self.rotary = rotary
    self.maximumPositions = maximumPositions
    self.tiedEmbeddings = tiedEmbeddings
    self.attentionBias = attentionBias
    self.outputBias = outputBias
    self.queryKeyNorm = queryKeyNorm
    self.queryKeyValueBound = queryKeyValueBound
    self.windows = windows
    self.experts = experts
    self.sparseLayers = sparseLayers
    self.initializerRange = initializerRange
    self.beginOfSequence = beginOfSequence
    self.endOfSequence = endOfSequence
    self.padding = padding
  }

  /// Whether both compute and train the same; the ids of special tokens, and the coefficient of a loss that is off, may
  /// differ.
  public func computesAs(_ other: ModelConfiguration) -> Bool {
    func plain(_ configuration: ModelConfiguration) -> ModelConfiguration {
      var plain = configuration
      (plain.beginOfSequence, plain.endOfSequence, plain.padding) = (nil, [], nil)
      if var balancing = plain.experts?.balancing {
        (balancing.statedLoadCoefficient, balancing.isOn) = (balancing.loadCoefficient, true)
        plain.experts?.balancing = balancing
      }
      return plain
    }
    return plain(self) == plain(other)
  }

  public var queryColumns: Int { heads * headDimension }
  public var keyValueColumns: Int { keyValueHeads * headDimension }
  /// Columns of the queries, and of the keys, that are normalised together: the sizes of their norms' weights.
  public var queryNormColumns: Int { queryKeyNorm == .projection ? queryColumns : headDimension }
  public var keyNormColumns: Int { queryKeyNorm == .projection ? keyValueColumns : headDimension }
  public var queryKeyValueColumns: Int { queryColumns + 2 * keyValueColumns }
  public var sparseLayerCount: Int { sparseLayers.count { $0 } }

  /// Columns of the dense feed-forward layer, or of the shared experts of a sparse one; 0 where there is none.
  public func denseWidth(layer: Int) -> Int {
    sparseLayers[layer] ? experts?.sharedIntermediateSize ?? 0 : intermediateSize
  }

  /// The model FLOPs of one token's forward and backward pass: 6 for each active weight, and the attention products
  /// over `length` positions, causal (Chowdhery et al. 2022, appendix B).
  public func trainingOperationsPerToken(length: Int) -> Double {
    var weights = Double(vocabularySize * hiddenSize)
    var attended = 0.0
    for layer in 0..<layers {
      weights += Double(hiddenSize * (queryKeyValueColumns + queryColumns))
      if sparseLayers[layer], let experts {
        weights += Double(hiddenSize * experts.count + experts.perToken * 3 * hiddenSize * experts.intermediateSize)
      }
      weights += Double(3 * hiddenSize * denseWidth(layer: layer))
      let window = Double(min(windows[layer] ?? length, length))
      attended += Double(queryColumns) * (window - window * (window - 1) / Double(2 * length))
    }
    return 6 * weights + 12 * attended
  }
}
