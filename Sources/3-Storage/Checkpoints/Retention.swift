/// The retention policy of a run's checkpoints: the newest few, every so many steps for ever, and the best by
/// validation loss.
public struct Retention: Sendable, Equatable {
  public var keepLast: Int
  /// Multiples of this many steps are kept for ever; nil for none.
  public var keepEvery: Int?
  public var keepBest: Int

  public init(keepLast: Int, keepEvery: Int? = nil, keepBest: Int = 0) {
    precondition(keepLast > 0 && (keepEvery ?? 1) > 0 && keepBest >= 0, "a run keeps at least one checkpoint")
    self.keepLast = keepLast
    self.keepEvery = keepEvery
    self.keepBest = keepBest
  }

  /// The steps to delete, ascending.
  ///
  /// - Parameters:
  ///   - steps: ascending.
  ///   - losses: the validation losses of those steps that have one. Lower is better; among equals the older one.
  ///   - sets: the validation sequences of each. Losses of different sets are not compared: the best of each are kept.
  public func deletions(steps: [Int], losses: [Int: Double], sets: [Int: String] = [:]) -> [Int] {
    let comparable = Dictionary(grouping: steps.filter { losses[$0] != nil }) { sets[$0] }
    let best = comparable.values.reduce(into: Set<Int>()) { best, steps in
      best.formUnion(steps.sorted { (losses[$0] ?? 0, $0) < (losses[$1] ?? 0, $1) }.prefix(keepBest))
    }
    return steps.dropLast(keepLast).filter { step in
      !best.contains(step) && keepEvery.map { step % $0 != 0 } ?? true
    }
  }
}
