/// The schedule of a decoder's pass over a micro-batch: the order of unsharding, computing, reducing and resharding.
///
/// It is defined here only: the decoder runs it, sharding prefetches by it, and planning simulates it for time, memory
/// and traffic.
public struct PassSchedule: Sendable, Equatable {
  public enum Event: Sendable, Equatable {
    /// The parameters of a unit are read from here until they are resharded.
    case unshard(Int)
    case reshard(Int)
    /// The gradient sums of a unit are added to from here until they are reduced.
    case beginGradient(Int)
    case reduceGradient(Int)
    case compute(Part, Direction)
  }

  /// A part of the computation; the number is a layer's.
  public enum Part: Sendable, Equatable {
    case embedding
    /// Input norm, attention, and the post-attention norm.
    case attention(Int)
    /// A dense feed-forward layer, or the shared experts.
    case feedForward(Int)
    /// An expert layer's routing and dispatch, its experts, and the combining of results.
    case dispatch(Int)
    case experts(Int)
    case combine(Int)
    /// The final norm, the head and the objective; the backward direction includes the forward one.
    case head
    /// The accumulation of a block's gradients into the exact sums.
    case accumulation(Int)
  }

  public enum Direction: Sendable, Equatable { case forward, recompute, backward }

  public private(set) var events: [Event] = []

  /// The schedule without gradients: a forward pass and the head.
  public static func evaluation(_ layout: ParameterLayout) -> PassSchedule {
    var schedule = PassSchedule()
    schedule.forward(layout)
    schedule.events += [.unshard(layout.headUnit), .compute(.head, .forward)]
    schedule.reshardHead(layout)
    return schedule
  }

  /// The schedule of training: a forward and a backward pass.
  public static func training(_ layout: ParameterLayout, recompute: Recomputation) -> PassSchedule {
    var schedule = PassSchedule()
    schedule.forward(layout)
    schedule.head(layout)
    // The last block's activations are still there.
    let last = layout.blocks.count - 1
    for layer in layout.blocks.indices.reversed() {
      schedule.backward(layer, layout, recompute: layer == last ? .none : recompute)
    }
    schedule.embeddingGradient(layout)
    return schedule
  }

  private mutating func forward(_ layout: ParameterLayout) {
    events += [.unshard(layout.embeddingUnit), .compute(.embedding, .forward)]
    if !layout.isTied { events.append(.reshard(layout.embeddingUnit)) }
    for layer in layout.blocks.indices {
      events += [.unshard(layout.blockUnit(layer)), .compute(.attention(layer), .forward)]
      if let experts = layout.expertsUnit(layer) {
        events += [
          .compute(.dispatch(layer), .forward), .unshard(experts), .compute(.experts(layer), .forward),
          .reshard(experts), .compute(.combine(layer), .forward),
        ]
      }
      if layout.hasFeedForward(layer) { events.append(.compute(.feedForward(layer), .forward)) }
      events.append(.reshard(layout.blockUnit(layer)))
    }
  }

  private mutating func head(_ layout: ParameterLayout) {
    events += [.unshard(layout.headUnit), .beginGradient(layout.headUnit)]
    if layout.isTied { events.append(.beginGradient(layout.embeddingUnit)) }
    events += [.compute(.head, .backward), .reduceGradient(layout.headUnit)]
    reshardHead(layout)
  }

  /// A tied embedding stays unsharded until after the head.
  private mutating func reshardHead(_ layout: ParameterLayout) {
    events.append(.reshard(layout.headUnit))
    if layout.isTied { events.append(.reshard(layout.embeddingUnit)) }
  }

  private mutating func backward(_ layer: Int, _ layout: ParameterLayout, recompute: Recomputation) {
    let block = layout.blockUnit(layer)
    events.append(.unshard(block))
    if recompute != .none { events.append(.compute(.attention(layer), .recompute)) }
    if recompute == .block, layout.hasFeedForward(layer) {
      events.append(.compute(.feedForward(layer), .recompute))
    }
    if let experts = layout.expertsUnit(layer) {
      events += [.compute(.dispatch(layer), .backward), .unshard(experts)]
      if recompute == .block { events.append(.compute(.experts(layer), .recompute)) }
      events += [
        .beginGradient(experts), .compute(.experts(layer), .backward), .reshard(experts), .reduceGradient(experts),
        .compute(.combine(layer), .backward),
      ]
    }
    if layout.hasFeedForward(layer) { events.append(.compute(.feedForward(layer), .backward)) }
    events += [
      .compute(.attention(layer), .backward), .beginGradient(block), .compute(.accumulation(layer), .backward),
      .reduceGradient(block), .reshard(block),
    ]
  }

  private mutating func embeddingGradient(_ layout: ParameterLayout) {
    if !layout.isTied { events.append(.beginGradient(layout.embeddingUnit)) }
    events += [.compute(.embedding, .backward), .reduceGradient(layout.embeddingUnit)]
  }

  /// Swaps two events, for tests that every reader follows the schedule.
  mutating func swapEvents(_ first: Int, _ second: Int) { events.swapAt(first, second) }
}

extension ParameterLayout {
  var isTied: Bool { head == embedding }
  func hasFeedForward(_ layer: Int) -> Bool { !blocks[layer].gateUp.isEmpty }
}
