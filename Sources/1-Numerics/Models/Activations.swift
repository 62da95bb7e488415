import Kernels

/// A bump allocator for planning: reserves ranges of an arena before it is allocated.
struct ActivationPlan {
  private(set) var count = 0

  mutating func reserve(_ size: Int) -> Range<Int> {
    let start = count
    count += (size + 15) / 16 * 16
    return start..<start + size
  }
}

/// The layout of a micro-batch's activations in a workspace. What a backward pass needs is kept for each block; the
/// rest is scratch that all blocks share.
///
/// Sizes: N tokens, H hidden, C query columns, Q query-key-value columns, S slots (token × choice), I intermediate, E
/// experts, W columns of a dense layer or of the shared experts; A the capacity of an expert layer in rows on this
/// rank: S, or that times the ranks that share the experts; V its rows received from other ranks. Pages that are never
/// touched take no memory, so planning for the maximum is free.
struct ActivationLayout {
  struct Block {
    var input = 0..<0  // [N, H] the residual stream
    var inputNormed = 0..<0  // [N, H]
    var inputScale = 0..<0  // [N] reciprocal root mean square
    var queryKeyValue = 0..<0  // [N, Q] rotated
    var queryKeyBeforeNorm = 0..<0  // [N, Q without values], QK-norm only
    var queryScale = 0..<0  // [N, heads], or [N] where all heads are normalised together
    var keyScale = 0..<0  // [N, keyValueHeads] or [N]
    var attended = 0..<0  // [N, C]
    var logSumExp = 0..<0  // [N, heads]
    var middle = 0..<0  // [N, H] the residual stream after attention
    var middleNormed = 0..<0  // [N, H]
    var middleScale = 0..<0  // [N]
    var denseGateUp = 0..<0  // [N, 2 W] of a dense layer or the shared experts
    var gateUp = 0..<0  // [A, 2 I]
    var receivedInputs = 0..<0  // [A, H] inputs of the local experts
    var scores = 0..<0  // [N, E] router scores
    var scoreNormaliser = 0..<0  // [N]
    var slotWeights = 0..<0  // [S]
    // Of the integer arena:
    var clamped = 0..<0  // [N, Q / 32 rounded up] a bit for each element that was clamped
    var slotExperts = 0..<0  // [S]
    var permutation = 0..<0  // [S]
    var inversePermutation = 0..<0  // [S]
    var expertOffsets = 0..<0  // [E + 1]
  }

  private(set) var blocks: [Block] = []
  private(set) var output = 0..<0  // [N, H] the residual stream after the last block
  private(set) var outputNormed = 0..<0  // [N, H]
  private(set) var outputScale = 0..<0  // [N]
  private(set) var logits = 0..<0  // [chunk, vocabulary]
  private(set) var logProbabilities = 0..<0  // [N]
  private(set) var gradient = 0..<0  // [N, H] of the residual stream
  private(set) var hiddenScratch = 0..<0  // [N, H]
  private(set) var attendedGradient = 0..<0  // [N, C]
  private(set) var queryKeyValueGradient = 0..<0  // [N, Q]
  private(set) var activation = 0..<0  // [N, W] or [A, I]
  private(set) var activationGradient = 0..<0  // [N, W] or [A, I]
  // Local rows in expert order: what is sent, and what is returned; in a backward pass with one more column.
  private(set) var slotInputs = 0..<0  // [S, H + 1]
  private(set) var slotRows = 0..<0  // [S, H + 1]
  private(set) var returnedRows = 0..<0  // [S, H + 1]
  // Rows received from other ranks.
  private(set) var receivedRows = 0..<0  // [V, H + 1]
  private(set) var receivedReturn = 0..<0  // [V, H + 1]
  private(set) var slotWeightGradient = 0..<0  // [S]
  private(set) var balance = 0..<0  // [E]
  /// A and V.
  private(set) var capacity: ReceiveCapacity
  /// Whether to ask for huge pages, which make a step 3 % faster. Of a range planned for received rows only the
  /// beginning is used, so two of its pages are half empty on average: too much where a range has fewer than four.
  private(set) var usesHugePages = true
  /// Bytes of these half-empty pages.
  private(set) var halfPages = 0
  /// Elements of the float and of the integer arena.
  private(set) var floats = 0
  private(set) var integers = 0

  /// - Parameters:
  ///   - receiveCapacity: A and V for a number of local rows; nil when all experts are local.
  ///   - training: false keeps nothing for a backward pass; all blocks then share two blocks' memory.
  ///   - recompute: what the backward pass recomputes, in one block's memory that all blocks share.
  init(
    _ c: ModelConfiguration, tokens n: Int, receiveCapacity: ((Int) -> ReceiveCapacity)? = nil, training: Bool,
    recompute: Recomputation = .none
  ) {
    var plan = ActivationPlan()
    var integerPlan = ActivationPlan()
    let slots = n * (c.experts?.perToken ?? 0)
    let expertCount = c.experts?.count ?? 0
    let capacity = receiveCapacity?(slots) ?? ReceiveCapacity(all: slots, received: 0)
    self.capacity = capacity
    let denseWidth = (0..<c.layers).map(c.denseWidth).max() ?? 0
    if slots > 0 {
      slotInputs = plan.reserve(slots * (c.hiddenSize + 1))
      slotRows = plan.reserve(slots * (c.hiddenSize + 1))
    }
    func attention(_ block: inout Block) {
      block.inputNormed = plan.reserve(n * c.hiddenSize)
      block.inputScale = plan.reserve(n)
      block.queryKeyValue = plan.reserve(n * c.queryKeyValueColumns)
      if c.queryKeyNorm != .none {
        block.queryKeyBeforeNorm = plan.reserve(n * (c.queryColumns + c.keyValueColumns))
        block.queryScale = plan.reserve(n * (c.queryColumns / c.queryNormColumns))
        block.keyScale = plan.reserve(n * (c.keyValueColumns / c.keyNormColumns))
      }
      if c.queryKeyValueBound != nil, training {
        block.clamped = integerPlan.reserve(Backend.clampWords(rows: n, columns: c.queryKeyValueColumns))
      }
      block.attended = plan.reserve(n * c.queryColumns)
      block.logSumExp = plan.reserve(n * c.heads)
    }
    func feedForward(_ block: inout Block, width: Int, isSparse: Bool) {
      block.middle = plan.reserve(n * c.hiddenSize)
      block.middleNormed = plan.reserve(n * c.hiddenSize)
      block.middleScale = plan.reserve(n)
      block.denseGateUp = plan.reserve(n * 2 * width)
      if isSparse { block.gateUp = plan.reserve(capacity.all * 2 * (c.experts?.intermediateSize ?? 0)) }
    }
    func routing(_ block: inout Block) {
      block.receivedInputs = receiveCapacity == nil ? slotInputs : plan.reserve(capacity.all * c.hiddenSize)
      block.scores = plan.reserve(n * expertCount)
      block.scoreNormaliser = plan.reserve(n)
      block.slotWeights = plan.reserve(slots)
      block.slotExperts = integerPlan.reserve(slots)
      block.permutation = integerPlan.reserve(slots)
      block.inversePermutation = integerPlan.reserve(slots)
      block.expertOffsets = integerPlan.reserve(expertCount + 1)
    }
    let recompute = training ? recompute : .none
    var common = Block()
    if recompute != .none { attention(&common) }
    if recompute == .block { feedForward(&common, width: denseWidth, isSparse: slots > 0) }
    for layer in 0..<c.layers {
      if !training, layer > 1 {
        blocks.append(blocks[layer - 2])  // two sets alternate: a block reads the output of the one before it
        continue
      }
      // Without a backward pass the sets of two layers serve all of them, sparse and dense.
      let isSparse = training ? c.sparseLayers[layer] : slots > 0
      var block = common
      block.input = plan.reserve(n * c.hiddenSize)
      if recompute == .none { attention(&block) }
      if recompute != .block {
        feedForward(&block, width: training ? c.denseWidth(layer: layer) : denseWidth, isSparse: isSparse)
      }
      if isSparse { routing(&block) }
      blocks.append(block)
    }
    output = plan.reserve(n * c.hiddenSize)
    outputNormed = plan.reserve(n * c.hiddenSize)
    outputScale = plan.reserve(n)
    logits = plan.reserve(min(n, Backend.crossEntropyChunk) * c.vocabularySize)
    logProbabilities = plan.reserve(n)
    let widest = max(n * denseWidth, capacity.all * (c.experts?.intermediateSize ?? 0))
    activation = plan.reserve(widest)
    receivedRows = plan.reserve(capacity.received * (c.hiddenSize + 1))
    if training {
      receivedReturn = plan.reserve(capacity.received * (c.hiddenSize + 1))
      returnedRows = receiveCapacity == nil ? plan.reserve(slots * (c.hiddenSize + 1)) : slotInputs
      gradient = plan.reserve(n * c.hiddenSize)
      hiddenScratch = plan.reserve(n * c.hiddenSize)
      attendedGradient = plan.reserve(n * c.queryColumns)
      queryKeyValueGradient = plan.reserve(n * c.queryKeyValueColumns)
      activationGradient = plan.reserve(widest)
      slotWeightGradient = plan.reserve(slots)
      balance = plan.reserve(expertCount)
    }
    floats = plan.count
    integers = integerPlan.count
    if receiveCapacity != nil, slots > 0 {
      usesHugePages = slots * 2 * (c.experts?.intermediateSize ?? 0) >= 1 << 21
      let partlyUsed = Set(blocks.flatMap { [$0.gateUp, $0.receivedInputs] }.filter { !$0.isEmpty })
      let ranges = partlyUsed.count + (training ? 4 : 2)
      halfPages = usesHugePages ? ranges << 21 : 0
    }
  }
}
