public import Models
public import Sharding

/// The bytes that a rank receives from other ranks in a step, by kind; it sends as many on average.
public struct Traffic: Sendable, Equatable {
  /// Gradient sums, 64-bit integers, reduced to their owners.
  public var gradients = 0.0
  /// Without sharding, reduced sums gathered from their owners.
  public var sums = 0.0
  /// Parameters, fp32, gathered from their owners.
  public var parameters = 0.0
  /// Token dispatch and return, forward and backward, fp32.
  public var rows = 0.0

  public var total: Double { gradients + sums + parameters + rows }

  /// - Parameters:
  ///   - schedule: the schedule of a pass.
  ///   - rank: in `0..<shardingPlan.ranks`.
  ///   - microSteps: micro-steps of a step.
  ///   - slots: tokens of a micro-batch × experts per token.
  public init(
    _ shardingPlan: ShardingPlan, _ schedule: PassSchedule, rank: Int, microSteps: Int, slots: Int, hidden: Int
  ) {
    let pass = UnitCounts(schedule, units: shardingPlan.layout.units.count)
    for unit in shardingPlan.layout.units.indices {
      let others = shardingPlan.holders(unit: unit, of: rank).count - 1
      guard others > 0 else { continue }
      let mine = Double(shardingPlan.shards[unit][rank].count)
      let rest = Double(shardingPlan.computeRange(unit: unit, by: rank).count) - mine
      let times = shardingPlan.stage == .full ? Double(microSteps) : 1
      gradients += 8 * Double(others) * mine * times * Double(pass.reductions[unit])
      switch shardingPlan.stage {
      case .none: sums += 8 * rest
      case .optimizer: parameters += 4 * rest
      case .full: parameters += 4 * rest * times * Double(pass.gathers[unit])
      }
    }
    let degree = shardingPlan.experts.degree
    // `hidden` columns to the experts and back; one more in the backward pass, for the row's weight and its gradient.
    let travelling = Double(slots * (degree - 1)) / Double(degree)
    let columns = schedule.events.reduce(0) { sum, event in
      switch event {
      case .compute(.dispatch, .forward), .compute(.combine, .forward): sum + hidden
      case .compute(.dispatch, .backward), .compute(.combine, .backward): sum + hidden + 1
      default: sum
      }
    }
    rows = 4 * travelling * Double(columns * microSteps)
  }
}

/// How often each unit is gathered and reduced in a fully sharded pass.
private struct UnitCounts {
  var gathers: [Int]
  var reductions: [Int]

  init(_ schedule: PassSchedule, units: Int) {
    gathers = Array(repeating: 0, count: units)
    reductions = gathers
    var window = UnitWindow()
    window.begin(schedule)
    for event in schedule.events {
      switch event {
      case .unshard(let unit): for gathered in window.unshard(unit) { gathers[gathered] += 1 }
      case .reshard(let unit): window.reshard(unit)
      case .reduceGradient(let unit): reductions[unit] += 1
      default: break
      }
    }
  }
}
