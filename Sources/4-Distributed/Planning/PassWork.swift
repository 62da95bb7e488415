import Models

/// The work of a micro-batch's forward and backward pass, by part, each in a unit that its time is proportional to.
/// Also used for the times in seconds, and for rates in seconds per unit.
struct PassWork: Sendable, Equatable {
  /// The work of one layer, by part of the pass schedule.
  struct Layer: Sendable, Equatable {
    /// Attention's norms and projections: operations of the matrix products.
    var attention = 0.0
    /// Attention scores: operations.
    var scores = 0.0
    /// The dense feed-forward layer or shared experts: operations of the matrix products.
    var feedForward = 0.0
    /// The router, and the permutation to expert order: elements multiplied or moved.
    var dispatch = 0.0
    /// The experts' matrix products: operations.
    var experts = 0.0
    /// The inverse permutation: elements.
    var combine = 0.0
    // The same in the backward pass.
    var attentionBackward = 0.0
    var scoresBackward = 0.0
    var feedForwardBackward = 0.0
    var dispatchBackward = 0.0
    var expertsBackward = 0.0
    var combineBackward = 0.0
    /// Gradient elements added to exact sums: without the experts', and the experts'.
    var accumulation = 0.0
    var expertAccumulation = 0.0
  }

  /// Rows of the embedding that are read, and added to: elements.
  var embedding = 0.0
  var embeddingGradient = 0.0
  /// Cross-entropy, forward and backward: operations of the matrix products.
  var head = 0.0
  /// The head's gradient, added to exact sums: elements.
  var headAccumulation = 0.0
  var layers: [Layer] = []
  /// The routers' matrix products, forward and backward, whose time is in the layers' `dispatch` and `combineBackward`:
  /// operations.
  var routers = 0.0
  /// The share of queries, keys and values in attention's projections.
  var queryKeyValueShare = 0.0
}

extension PassWork {
  /// - Parameters:
  ///   - sequences: of a micro-batch.
  ///   - length: of a sequence, taken to be one document.
  init(_ c: ModelConfiguration, sequences: Int, length: Int) {
    let tokens = Double(sequences * length)
    let hidden = Double(c.hiddenSize)
    embedding = tokens * hidden
    embeddingGradient = tokens * hidden
    head = 6 * tokens * hidden * Double(c.vocabularySize)
    headAccumulation = hidden * Double(c.vocabularySize)
    for layer in 0..<c.layers {
      var work = Layer()
      let projections = hidden * Double(c.queryKeyValueColumns + c.queryColumns)
      work.attention = 2 * tokens * projections
      work.attentionBackward = 2 * work.attention
      let feedForward = 3 * hidden * Double(c.denseWidth(layer: layer))
      work.feedForward = 2 * tokens * feedForward
      work.feedForwardBackward = 2 * work.feedForward
      work.accumulation = projections + feedForward
      if c.sparseLayers[layer], let experts = c.experts {
        let router = hidden * Double(experts.count)
        let expert = 3 * hidden * Double(experts.intermediateSize)
        let slots = tokens * Double(experts.perToken)
        work.accumulation += router
        routers += 6 * tokens * router
        work.dispatch = slots * hidden + tokens * router
        work.dispatchBackward = slots * hidden
        work.experts = 2 * slots * expert
        work.expertsBackward = 2 * work.experts
        work.combine = slots * hidden
        work.combineBackward = slots * hidden + tokens * router
        work.expertAccumulation = expert * min(Double(experts.count), slots)
      }
      let window = Double(min(c.windows[layer] ?? length, length))
      let attended = window - window * (window - 1) / Double(2 * length)
      work.scores = 4 * tokens * Double(c.queryColumns) * attended
      work.scoresBackward = 2.5 * work.scores
      layers.append(work)
    }
    queryKeyValueShare = Double(c.queryKeyValueColumns) / Double(c.queryKeyValueColumns + c.queryColumns)
  }

  /// Floating-point operations of a pass.
  var operations: Double {
    layers.reduce(head + routers) {
      $0 + $1.attention + $1.attentionBackward + $1.scores + $1.scoresBackward + $1.feedForward
        + $1.feedForwardBackward + $1.experts + $1.expertsBackward
    }
  }

  /// The work of a part that is recomputed in the backward pass.
  func recomputed(_ part: PassSchedule.Part, _ recompute: Recomputation) -> Double {
    switch part {
    case .attention(let layer):
      layers[layer].scores + layers[layer].attention * (recompute == .block ? 1 : queryKeyValueShare)
    // Gate and up, of three matrices.
    case .feedForward(let layer): layers[layer].feedForward * 2 / 3
    case .experts(let layer): layers[layer].experts * 2 / 3
    default: 0
    }
  }
}

extension PassWork.Layer {
  /// All fields, in the order of `array`.
  static let numbers: [WritableKeyPath<Self, Double> & Sendable] = [
    \.attention, \.scores, \.feedForward, \.dispatch, \.experts, \.combine, \.attentionBackward, \.scoresBackward,
    \.feedForwardBackward, \.dispatchBackward, \.expertsBackward, \.combineBackward, \.accumulation,
    \.expertAccumulation,
  ]

  var array: [Double] { Self.numbers.map { self[keyPath: $0] } }

  init(_ array: [Double]) {
    self.init()
    for (number, value) in Swift.zip(Self.numbers, array) { self[keyPath: number] = value }
  }

  /// Combines two layers field by field.
  func zip(_ other: Self, _ combine: (Double, Double) -> Double) -> Self {
    Self(Swift.zip(array, other.array).map(combine))
  }

  var sum: Double { array.reduce(0, +) }
}
