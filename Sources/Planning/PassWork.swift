import Models

/// How much there is to do in one micro-batch's forward and backward pass, part by part, each in its own unit: what
/// seconds are proportional to. Also used for the seconds themselves, and for seconds per unit.
struct PassWork: Sendable, Equatable {
  /// Of one layer.
  struct Layer: Sendable, Equatable {
    /// Norms, projections, router, and what every token visits, a dense layer or shared experts: operations of products.
    var front = 0.0
    /// Attention's scores: operations.
    var scores = 0.0
    /// The experts' products, operations.
    var experts = 0.0
    /// Rows that are brought to experts' order and back: elements.
    var combine = 0.0
    // The same in the backward pass.
    var frontBackward = 0.0
    var scoresBackward = 0.0
    var expertsBackward = 0.0
    var combineBackward = 0.0
    /// Gradient elements that are added to exact sums, without and with the experts'.
    var accumulation = 0.0
    var expertAccumulation = 0.0
  }

  /// Rows of the embedding that are read and added to: elements.
  var embedding = 0.0
  var embeddingGradient = 0.0
  /// Cross-entropy, forward and backward: operations of the products.
  var head = 0.0
  /// The head's gradient, added to exact sums: elements.
  var headAccumulation = 0.0
  var layers: [Layer] = []
}

extension PassWork {
  /// - Parameters: `sequences`, `length`: of a micro-batch, documents as long as sequences.
  init(_ c: ModelConfiguration, sequences: Int, length: Int) {
    let tokens = Double(sequences * length)
    let hidden = Double(c.hiddenSize)
    embedding = tokens * hidden
    embeddingGradient = tokens * hidden
    head = 6 * tokens * hidden * Double(c.vocabularySize)
    headAccumulation = hidden * Double(c.vocabularySize)
    layers = (0..<c.layers).map { layer in
      var work = Layer()
      var weights = Double(c.hiddenSize * (c.queryKeyValueColumns + c.queryColumns))
      work.accumulation = weights
      if c.sparseLayers[layer], let experts = c.experts {
        let router = hidden * Double(experts.count)
        let expert = 3 * hidden * Double(experts.intermediateSize)
        let slots = tokens * Double(experts.perToken)
        weights += router
        work.accumulation += router
        work.experts = 2 * slots * expert
        work.expertsBackward = 2 * work.experts
        work.combine = slots * hidden
        work.combineBackward = slots * hidden
        work.expertAccumulation = expert * min(Double(experts.count), slots)
      }
      let feedForward = 3 * hidden * Double(c.denseWidth(layer: layer))
      weights += feedForward
      work.accumulation += feedForward
      work.front = 2 * tokens * weights
      work.frontBackward = 2 * work.front
      let window = Double(min(c.windows[layer] ?? length, length))
      let attended = window - window * (window - 1) / Double(2 * length)
      work.scores = 4 * tokens * Double(c.queryColumns) * attended
      work.scoresBackward = 2.5 * work.scores
      return work
    }
  }

  /// Floating-point operations of a pass.
  var operations: Double {
    layers.reduce(head) {
      $0 + $1.front + $1.frontBackward + $1.scores + $1.scoresBackward + $1.experts + $1.expertsBackward
    }
  }
}

extension PassWork.Layer {
  /// Combines two layers part by part.
  func zip(_ other: Self, _ combine: (Double, Double) -> Double) -> Self {
    Self(
      front: combine(front, other.front), scores: combine(scores, other.scores),
      experts: combine(experts, other.experts), combine: combine(self.combine, other.combine),
      frontBackward: combine(frontBackward, other.frontBackward),
      scoresBackward: combine(scoresBackward, other.scoresBackward),
      expertsBackward: combine(expertsBackward, other.expertsBackward),
      combineBackward: combine(combineBackward, other.combineBackward),
      accumulation: combine(accumulation, other.accumulation),
      expertAccumulation: combine(expertAccumulation, other.expertAccumulation))
  }

  var sum: Double {
    front + scores + experts + combine + frontBackward + scoresBackward + expertsBackward + combineBackward
      + accumulation + expertAccumulation
  }
}
