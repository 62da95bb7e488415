public import Models

/// The window of unsharded units in a fully sharded pass (ZeRO-3): when each is gathered and prefetched, and which
/// reductions must be complete before the next gradient is written.
///
/// The single definition of this rule: `ShardedParameters` follows it, and the planning of memory, traffic and time
/// uses it.
public struct UnitWindow: Sendable {
  private var order: [Int] = []
  private var position = 0
  /// Units whose parameters are unsharded or being gathered.
  public private(set) var unsharded: Set<Int> = []
  /// The last two units submitted for reduction.
  private var handedOver: (last: Int?, before: Int?) = (nil, nil)
  /// Units whose gradient sums are being written or reduced.
  public private(set) var summed: Set<Int> = []

  public init() {}

  /// Begins a pass.
  public mutating func begin(_ schedule: PassSchedule) {
    order = schedule.events.compactMap { if case .unshard(let unit) = $0 { unit } else { nil } }
    position = 0
  }

  /// Unshards the next unit of the schedule.
  ///
  /// - Returns: the units whose gathers start now: this one and the next of the schedule, as far as they are not
  ///   unsharded or being gathered.
  public mutating func unshard(_ unit: Int) -> [Int] {
    position += 1
    let wanted = [unit] + order[min(position, order.count)...].prefix(1)
    return wanted.filter { unsharded.insert($0).inserted }
  }

  /// Reshards a unit.
  public mutating func reshard(_ unit: Int) { unsharded.remove(unit) }

  /// Begins writing a unit's gradient sums.
  ///
  /// - Returns: the units whose reductions must be complete first. One reduction may be in flight while the next sums
  ///   are written; with more, a slow network would fill the memory.
  public mutating func beginGradient(_ unit: Int) -> [Int] {
    let awaited = [unit] + [handedOver.before].compactMap(\.self)
    summed.subtract(awaited)
    summed.insert(unit)
    return awaited
  }

  /// Submits a unit's gradient sums for reduction.
  public mutating func reduceGradient(_ unit: Int) { handedOver = (unit, handedOver.last) }
}
