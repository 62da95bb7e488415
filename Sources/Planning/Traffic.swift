public import Placement

/// What a rank receives from other ranks in a step, bytes, by kind; it sends as much on average.
public struct Traffic: Sendable, Equatable {
  /// Gradient sums, 64-bit integers, to their owners.
  public var gradients = 0.0
  /// Without sharding, complete sums from their owners.
  public var sums = 0.0
  /// Parameters, fp32, from their owners.
  public var parameters = 0.0
  /// Rows to the experts and back, forward and backward, fp32.
  public var rows = 0.0

  public var total: Double { gradients + sums + parameters + rows }

  /// - Parameters:
  ///   - rank: of the placement's ranks.
  ///   - rounds: micro-batches of a rank in a step.
  ///   - slots: tokens of a micro-batch × experts each visits.
  public init(_ placement: StatePlacement, rank: Int, rounds: Int, slots: Int, hidden: Int, sparseLayers: Int) {
    for piece in placement.layout.pieces.indices {
      let others = placement.holders(piece: piece, of: rank).count - 1
      guard others > 0 else { continue }
      let mine = Double(placement.owned[piece][rank].count)
      let rest = Double(placement.computed(piece: piece, by: rank).count) - mine
      let times = placement.sharding == .full ? Double(rounds) : 1
      gradients += 8 * Double(others) * mine * times
      switch placement.sharding {
      case .none: sums += 8 * rest
      case .optimizer: parameters += 4 * rest
      case .full: parameters += 4 * rest * times * Double(placement.gathers(piece))
      }
    }
    let degree = placement.experts.degree
    // H columns to the experts and back; in the backward pass one more, for the row's weight and its gradient.
    let travelling = Double(slots * (degree - 1)) / Double(degree)
    rows = 4 * travelling * Double(2 * hidden + 2 * (hidden + 1)) * Double(sparseLayers * rounds)
  }
}

extension StatePlacement {
  /// How often a piece is gathered in a round with full sharding: a block's in the forward and in the backward pass.
  func gathers(_ piece: Int) -> Int { piece == layout.embeddingPiece || piece == layout.headPiece ? 1 : 2 }
}
