public import Models

/// The units that a fully sharded pass (ZeRO-3) holds for a moment beyond what ranks own: which are gathered when, and which
/// gradient sums must be complete before others are written.
///
/// The rule is written down here only: `ShardedParameters` acts by it, and memory, traffic and time are planned by it.
public struct UnitWindow: Sendable {
  private var order: [Int] = []
  private var position = 0
  /// Pieces whose parameters are here or on their way.
  public private(set) var unsharded: Set<Int> = []
  /// The last two units whose sums were handed over to be reduced.
  private var handedOver: (last: Int?, before: Int?) = (nil, nil)
  /// Pieces whose sums are written or on their way.
  public private(set) var summed: Set<Int> = []

  public init() {}

  /// Begins a pass.
  public mutating func begin(_ schedule: PassSchedule) {
    order = schedule.events.compactMap { if case .unshard(let unit) = $0 { unit } else { nil } }
    position = 0
  }

  /// Needs a unit, which the schedule unshards next.
  ///
  /// - Returns: the units whose gathering begins now: this one unless it was prefetched, and the one that comes after it.
  public mutating func unshard(_ unit: Int) -> [Int] {
    position += 1
    let wanted = [unit] + order[min(position, order.count)...].prefix(1)
    return wanted.filter { unsharded.insert($0).inserted }
  }

  /// Lets a unit go.
  public mutating func reshard(_ unit: Int) { unsharded.remove(unit) }

  /// Begins to write a unit's sums.
  ///
  /// - Returns: the units whose reductions must be complete first. One may be on its way while the next is written; with
  ///   more, a slow network would fill the memory.
  public mutating func beginGradient(_ unit: Int) -> [Int] {
    let awaited = [unit] + [handedOver.before].compactMap(\.self)
    summed.subtract(awaited)
    summed.insert(unit)
    return awaited
  }

  /// Hands a unit's sums over.
  public mutating func reduceGradient(_ unit: Int) { handedOver = (unit, handedOver.last) }
}
