/// One parameter tensor: its Hugging Face name and its place in the parameter arena.
public struct ParameterTensor: Sendable, Equatable {
  /// The role of a tensor, which selects its initialisation and optimizer.
  public enum Role: Sendable {
    case embedding, head, norm, bias, router
    /// `e_score_correction_bias`: added to a router's scores to select experts; updated by load, not by gradient.
    case expertBias
    /// A matrix between hidden layers: attention and feed-forward weights.
    case hidden
  }

  /// A matrix of a routed expert.
  public struct ExpertMatrix: Sendable, Equatable {
    public enum Place: Sendable { case gate, up, down }

    public let expert: Int
    public let place: Place
  }

  public let name: String
  public let shape: [Int]
  /// Elements of the arena; gradients, moments and checkpoints use the same range.
  public let range: Range<Int>
  public let role: Role
  /// nil for a tensor outside the routed experts.
  public let matrix: ExpertMatrix?

  /// Whether weight decay applies: to matrices, not to norm weights and biases.
  public var decays: Bool { shape.count >= 2 }
}

/// The layout of all parameters in one flat arena, cut into *units*.
///
/// A unit is what sharding gathers, reduces and releases at a time (an FSDP unit): the embedding; of each block what
/// every rank computes with, then its experts, which expert parallelism distributes; the final norm with the head.
/// Matrices that multiply the same input are adjacent and used as one (queries, keys and values; gate and up).
public struct ParameterLayout: Sendable {
  /// Offsets of one block's parameters, by role.
  public struct Block: Sendable {
    public var inputNorm = 0..<0
    /// `[queries + keys + values, hidden]`
    public var queryKeyValue = 0..<0
    public var queryKeyValueBias = 0..<0
    public var queryNorm = 0..<0
    public var keyNorm = 0..<0
    /// `[hidden, queries]`
    public var output = 0..<0
    public var outputBias = 0..<0
    public var postAttentionNorm = 0..<0
    /// `[experts, hidden]`
    public var router = 0..<0
    /// `[experts]`
    public var expertBias = 0..<0
    /// `[2 · width, hidden]` of a dense layer, or of the shared experts.
    public var gateUp = 0..<0
    /// `[hidden, width]` of a dense layer, or of the shared experts.
    public var down = 0..<0
    /// All experts in order: for each `[2 · intermediate, hidden]`, then `[hidden, intermediate]`.
    public var experts = 0..<0
  }

  public private(set) var tensors: [ParameterTensor] = []
  public private(set) var units: [Range<Int>] = []
  public private(set) var blocks: [Block] = []
  /// `[vocabulary, hidden]`
  public private(set) var embedding = 0..<0
  public private(set) var finalNorm = 0..<0
  /// `[vocabulary, hidden]`; the embedding itself where the two are tied.
  public private(set) var head = 0..<0
  /// Elements of one expert.
  public let expertSize: Int
  /// Experts of a sparse layer; 0 in a dense model.
  public let expertCount: Int

  /// Elements of the arena: parameters without gaps, so that norms and sums cover whole ranges.
  public private(set) var count = 0
  public var embeddingUnit: Int { 0 }
  public var headUnit: Int { units.count - 1 }
  private var blockUnits: [Int] = []
  private var expertsUnits: [Int?] = []

  /// The unit of a block that every rank computes with: attention, norms, and a dense feed-forward layer or the router
  /// and the shared experts.
  public func blockUnit(_ layer: Int) -> Int { blockUnits[layer] }
  /// The unit of a sparse layer's experts; nil for a dense layer.
  public func expertsUnit(_ layer: Int) -> Int? { expertsUnits[layer] }
  /// The elements of some experts of a sparse layer.
  public func experts(_ experts: Range<Int>, layer: Int) -> Range<Int> {
    let start = blocks[layer].experts.lowerBound
    return start + experts.lowerBound * expertSize..<start + experts.upperBound * expertSize
  }

  public init(_ configuration: ModelConfiguration) {
    let hidden = configuration.hiddenSize
    expertCount = configuration.experts?.count ?? 0
    expertSize = 3 * hidden * (configuration.experts?.intermediateSize ?? 0)
    embedding = add(.embedding, [("model.embed_tokens.weight", [configuration.vocabularySize, hidden])])
    closeUnit()
    for layer in 0..<configuration.layers { addBlock(layer, configuration) }
    finalNorm = add(.norm, [("model.norm.weight", [hidden])])
    head =
      configuration.tiedEmbeddings
      ? embedding : add(.head, [("lm_head.weight", [configuration.vocabularySize, hidden])])
    closeUnit()
  }

  private mutating func addBlock(_ layer: Int, _ c: ModelConfiguration) {
    let prefix = "model.layers.\(layer)."
    let attention = prefix + "self_attn."
    var block = Block()
    block.inputNorm = add(.norm, [(prefix + "input_layernorm.weight", [c.hiddenSize])])
    let projections = [("q_proj", c.queryColumns), ("k_proj", c.keyValueColumns), ("v_proj", c.keyValueColumns)]
    block.queryKeyValue = add(.hidden, projections.map { (attention + $0 + ".weight", [$1, c.hiddenSize]) })
    if c.attentionBias { block.queryKeyValueBias = add(.bias, projections.map { (attention + $0 + ".bias", [$1]) }) }
    if c.queryKeyNorm != .none {
      block.queryNorm = add(.norm, [(attention + "q_norm.weight", [c.queryNormColumns])])
      block.keyNorm = add(.norm, [(attention + "k_norm.weight", [c.keyNormColumns])])
    }
    block.output = add(.hidden, [(attention + "o_proj.weight", [c.hiddenSize, c.queryColumns])])
    if c.outputBias { block.outputBias = add(.bias, [(attention + "o_proj.bias", [c.hiddenSize])]) }
    block.postAttentionNorm = add(.norm, [(prefix + "post_attention_layernorm.weight", [c.hiddenSize])])
    guard c.sparseLayers[layer], let experts = c.experts else {
      addFeedForward(prefix + "mlp.", width: c.intermediateSize, c, to: &block)
      blockUnits.append(units.count)
      expertsUnits.append(nil)
      closeUnit()
      blocks.append(block)
      return
    }
    let names = c.family.experts?.names ?? ExpertForm.TensorNames()
    let layerPrefix = prefix + names.layer
    block.router = add(.router, [(layerPrefix + "gate.weight", [experts.count, c.hiddenSize])])
    if experts.biasUpdateRate != nil {
      block.expertBias = add(.expertBias, [(layerPrefix + "gate.e_score_correction_bias", [experts.count])])
    }
    if experts.sharedIntermediateSize > 0 {
      addFeedForward(layerPrefix + "shared_experts.", width: experts.sharedIntermediateSize, c, to: &block)
    }
    blockUnits.append(units.count)
    closeUnit()
    block.experts = addExperts(layerPrefix + "experts.", names, experts, c)
    expertsUnits.append(units.count)
    closeUnit()
    blocks.append(block)
  }

  private mutating func addExperts(
    _ prefix: String, _ names: ExpertForm.TensorNames, _ experts: ModelConfiguration.Experts, _ c: ModelConfiguration
  ) -> Range<Int> {
    let (wide, narrow) = ([experts.intermediateSize, c.hiddenSize], [c.hiddenSize, experts.intermediateSize])
    let start = count
    for expert in 0..<experts.count {
      let matrices: [(ParameterTensor.ExpertMatrix.Place, String, [Int])] = [
        (.gate, names.gate, wide), (.up, names.up, wide), (.down, names.down, narrow),
      ]
      for (place, name, shape) in matrices {
        append(
          .hidden, "\(prefix)\(expert).\(name).weight", shape,
          ParameterTensor.ExpertMatrix(expert: expert, place: place))
      }
    }
    return start..<count
  }

  private mutating func addFeedForward(
    _ prefix: String, width: Int, _ c: ModelConfiguration, to block: inout Block
  ) {
    block.gateUp = add(.hidden, ["gate_proj", "up_proj"].map { (prefix + $0 + ".weight", [width, c.hiddenSize]) })
    block.down = add(.hidden, [(prefix + "down_proj.weight", [c.hiddenSize, width])])
  }

  /// Appends contiguous tensors and returns the range of all.
  private mutating func add(_ role: ParameterTensor.Role, _ members: [(name: String, shape: [Int])]) -> Range<Int> {
    let start = count
    for (name, shape) in members { append(role, name, shape) }
    return start..<count
  }

  private mutating func append(
    _ role: ParameterTensor.Role, _ name: String, _ shape: [Int], _ matrix: ParameterTensor.ExpertMatrix? = nil
  ) {
    let range = count..<count + shape.reduce(1, *)
    tensors.append(ParameterTensor(name: name, shape: shape, range: range, role: role, matrix: matrix))
    count = range.upperBound
  }

  private mutating func closeUnit() { units.append((units.last?.upperBound ?? 0)..<count) }
}
