/// One parameter tensor: its Hugging Face name and its place in the parameter arena.
public struct ParameterTensor: Sendable, Equatable {
  public let name: String
  public let shape: [Int]
  /// Elements of the arena; gradients, moments and checkpoints use the same range.
  public let range: Range<Int>

  /// Weight decay is for matrices; norm weights and biases are left alone.
  public var decays: Bool { shape.count >= 2 }
}

/// Where every parameter lives in one flat arena.
///
/// Matrices that multiply the same input stand next to each other and are used as one (queries, keys and values; gate
/// and up). The arena is cut into *pieces*, the embedding, each block, and the head, which are what gradient reduction
/// sends and what a backward pass finishes one after the other.
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
    /// `[2 · intermediate, hidden]`, or that for each expert.
    public var gateUp = 0..<0
    /// `[hidden, intermediate]`, or that for each expert.
    public var down = 0..<0
  }

  public private(set) var tensors: [ParameterTensor] = []
  public private(set) var pieces: [Range<Int>] = []
  public private(set) var blocks: [Block] = []
  /// `[vocabulary, hidden]`
  public private(set) var embedding = 0..<0
  public private(set) var finalNorm = 0..<0
  /// `[vocabulary, hidden]`; the embedding itself where the two are tied.
  public private(set) var head = 0..<0

  /// Elements of the arena: parameters without gaps, so that everything in it counts towards norms and sums.
  public private(set) var count = 0
  public var embeddingPiece: Int { 0 }
  public func blockPiece(_ layer: Int) -> Int { layer + 1 }
  public var headPiece: Int { pieces.count - 1 }

  public init(_ configuration: ModelConfiguration) {
    let hidden = configuration.hiddenSize
    embedding = add([("model.embed_tokens.weight", [configuration.vocabularySize, hidden])])
    closePiece()
    for layer in 0..<configuration.layers {
      blocks.append(addBlock(layer, configuration))
      closePiece()
    }
    finalNorm = add([("model.norm.weight", [hidden])])
    head =
      configuration.tiedEmbeddings ? embedding : add([("lm_head.weight", [configuration.vocabularySize, hidden])])
    closePiece()
  }

  private mutating func addBlock(_ layer: Int, _ c: ModelConfiguration) -> Block {
    let prefix = "model.layers.\(layer)."
    let attention = prefix + "self_attn."
    var block = Block()
    block.inputNorm = add([(prefix + "input_layernorm.weight", [c.hiddenSize])])
    let projections = [("q_proj", c.queryColumns), ("k_proj", c.keyValueColumns), ("v_proj", c.keyValueColumns)]
    block.queryKeyValue = add(projections.map { (attention + $0 + ".weight", [$1, c.hiddenSize]) })
    if c.attentionBias { block.queryKeyValueBias = add(projections.map { (attention + $0 + ".bias", [$1]) }) }
    if c.queryKeyNorm {
      block.queryNorm = add([(attention + "q_norm.weight", [c.headDimension])])
      block.keyNorm = add([(attention + "k_norm.weight", [c.headDimension])])
    }
    block.output = add([(attention + "o_proj.weight", [c.hiddenSize, c.queryColumns])])
    if c.attentionBias { block.outputBias = add([(attention + "o_proj.bias", [c.hiddenSize])]) }
    block.postAttentionNorm = add([(prefix + "post_attention_layernorm.weight", [c.hiddenSize])])
    guard c.sparseLayers[layer], let experts = c.experts else {
      let shape = [c.intermediateSize, c.hiddenSize]
      block.gateUp = add(["gate_proj", "up_proj"].map { (prefix + "mlp.\($0).weight", shape) })
      block.down = add([(prefix + "mlp.down_proj.weight", [c.hiddenSize, c.intermediateSize])])
      return block
    }
    let isMixtral = c.family == .mixtral
    let layerPrefix = prefix + (isMixtral ? "block_sparse_moe." : "mlp.")
    let (gate, up, down) = isMixtral ? ("w1", "w3", "w2") : ("gate_proj", "up_proj", "down_proj")
    block.router = add([(layerPrefix + "gate.weight", [experts.count, c.hiddenSize])])
    let names = (0..<experts.count).map { layerPrefix + "experts.\($0)." }
    let shape = [experts.intermediateSize, c.hiddenSize]
    block.gateUp = add(names.flatMap { [($0 + gate + ".weight", shape), ($0 + up + ".weight", shape)] })
    block.down = add(names.map { ($0 + down + ".weight", [c.hiddenSize, experts.intermediateSize]) })
    return block
  }

  /// Places tensors one directly behind the other and returns the range of all.
  private mutating func add(_ members: [(name: String, shape: [Int])]) -> Range<Int> {
    let start = count
    for (name, shape) in members {
      let range = count..<count + shape.reduce(1, *)
      tensors.append(ParameterTensor(name: name, shape: shape, range: range))
      count = range.upperBound
    }
    return start..<count
  }

  private mutating func closePiece() { pieces.append((pieces.last?.upperBound ?? 0)..<count) }
}
