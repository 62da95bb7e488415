public import Models
public import Sharding

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
  ///   - schedule: of a pass.
  ///   - rank: of the placement's ranks.
  ///   - rounds: micro-batches of a rank in a step.
  ///   - slots: tokens of a micro-batch × experts each visits.
  public init(
    _ placement: StatePlacement, _ schedule: PassSchedule, rank: Int, rounds: Int, slots: Int, hidden: Int
  ) {
    let pass = PieceCounts(schedule, pieces: placement.layout.pieces.count)
    for piece in placement.layout.pieces.indices {
      let others = placement.holders(piece: piece, of: rank).count - 1
      guard others > 0 else { continue }
      let mine = Double(placement.owned[piece][rank].count)
      let rest = Double(placement.computed(piece: piece, by: rank).count) - mine
      let times = placement.sharding == .full ? Double(rounds) : 1
      gradients += 8 * Double(others) * mine * times * Double(pass.reductions[piece])
      switch placement.sharding {
      case .none: sums += 8 * rest
      case .optimizer: parameters += 4 * rest
      case .full: parameters += 4 * rest * times * Double(pass.gathers[piece])
      }
    }
    let degree = placement.experts.degree
    // H columns to the experts and back; in the backward pass one more, for the row's weight and its gradient.
    let travelling = Double(slots * (degree - 1)) / Double(degree)
    let columns = schedule.events.reduce(0) { sum, event in
      switch event {
      case .compute(.dispatch, .forward), .compute(.combine, .forward): sum + hidden
      case .compute(.dispatch, .backward), .compute(.combine, .backward): sum + hidden + 1
      default: sum
      }
    }
    rows = 4 * travelling * Double(columns * rounds)
  }
}

/// How often each piece is gathered and reduced in a fully sharded pass.
private struct PieceCounts {
  var gathers: [Int]
  var reductions: [Int]

  init(_ schedule: PassSchedule, pieces: Int) {
    gathers = Array(repeating: 0, count: pieces)
    reductions = gathers
    var window = PieceWindow()
    window.begin(schedule)
    for event in schedule.events {
      switch event {
      case .unshard(let piece): for gathered in window.unshard(piece) { gathers[gathered] += 1 }
      case .reshard(let piece): window.reshard(piece)
      case .reduceGradient(let piece): reductions[piece] += 1
      default: break
      }
    }
  }
}
