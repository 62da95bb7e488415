import Glibc
import Kernels
public import MPI

/// A part of the parameter arena that some ranks hold alike, and what each of them owns of it.
public struct ExchangedUnit: Sendable {
  /// The index, in the reducer's groups, of the ranks that hold it.
  public let group: Int
  public let range: Range<Int>
  /// By rank of the group.
  public let shards: [Range<Int>]

  public init(group: Int, range: Range<Int>, shards: [Range<Int>]) {
    self.group = group
    self.range = range
    self.shards = shards
  }
}

/// Sums the ranks' gradients exactly, and spreads the updated parameters, behind the computation.
///
/// A rank's gradient is an arena of 64-bit fixed-point numbers, cut in units. When a unit is final on this rank,
/// `submit` hands it to a communication thread, which exchanges it with the other ranks that hold the unit and adds up
/// the range that this rank owns, in place. Sums of integers do not depend on any order, so neither does the result
/// depend on the number of ranks. After the optimizer has updated a unit's owned range of the parameters,
/// `submitGather` brings everybody's range to everybody, in place, while the next forward pass begins.
///
/// Every rank of a group submits the same units in the same order, units to which it contributes nothing too. The
/// methods are called by one thread of the rank. Where a group is one rank they return at once. A step allocates nothing.
///
/// The arenas are the confined unsafe point of this target: the caller leaves a unit's memory untouched between
/// `submit` and `wait`, and between `submitGather` and `waitGather`.
///
/// The exchange is an all-to-all in chunks that stay in the processor's cache, followed by a local sum, which took a
/// third of the time of `MPI_Allreduce` on the same numbers.
public final class ExactGradientReducer {
  /// What happens to a rank's sums outside of its owned range when a unit has been reduced.
  public enum Remainder: Sendable {
    /// They stay what they were, and are worth nothing.
    case keep
    /// Their memory is given back, and they are zero.
    case discard
    /// Everybody's complete sums replace them.
    case gather
  }

  /// The time that the waiting methods have kept their callers, in seconds.
  public private(set) var exposedCommunicationSeconds = 0.0

  private let units: [ExchangedUnit]
  private let thread: SerialThread<CollectiveScheduler.Work>?
  private let isShared: [Bool]
  // By unit, the number of its last reduction and of its last gather.
  private var lastReduction: [Int]
  private var lastGather: [Int]

  /// Plans the exchange. Collective.
  ///
  /// - Parameters:
  ///   - groups: the communicators that the units name; duplicates of them are used.
  ///   - units: disjoint ranges of both arenas, the same on all ranks of their group.
  ///   - gradient: the fixed-point accumulators, `[parameters]`.
  ///   - parameters: the parameters, `[parameters]`, in the same order.
  /// - Throws: `MPIError`.
  public init(
    groups: [Communicator], units: [ExchangedUnit], gradient: Arena<Int64>, parameters: Arena<Float>,
    remainder: Remainder = .keep
  ) throws {
    self.units = units
    isShared = units.map { groups[$0.group].size > 1 }
    lastReduction = .init(repeating: 0, count: units.count)
    lastGather = lastReduction
    guard isShared.contains(true) else {
      thread = nil
      return
    }
    let groups = try groups.map { try $0.duplicate(name: "gradients (\($0.name))") }
    let exchange = CollectiveScheduler(
      groups: groups, units: units, gradient: gradient, parameters: parameters, remainder: remainder)
    thread = try SerialThread(isUrgent: true, lookingAhead: exchange.perform)
  }

  /// Says that this rank's gradient of `unit` is final, and starts its sum.
  public func submit(unit: Int) {
    if isShared[unit], let thread { lastReduction[unit] = thread.submit(.reduce(unit: unit)) }
  }

  /// Returns when `unit` is summed, if it was submitted.
  ///
  /// - Throws: the communication thread's `MPIError`.
  public func wait(unit: Int) throws { try wait(for: lastReduction[unit]) }

  /// Returns when all submitted units are summed: this rank's owned ranges are complete.
  public func wait() throws { try wait(for: lastReduction.max() ?? 0) }

  /// Says that this rank's owned range of the parameters of `unit` is up to date, and starts bringing it to all ranks.
  public func submitGather(unit: Int) {
    if isShared[unit], let thread { lastGather[unit] = thread.submit(.gather(unit: unit)) }
  }

  /// Returns when all ranks' parameters of `unit` are here, if they were submitted.
  public func waitGather(unit: Int) throws { try wait(for: lastGather[unit]) }

  private func wait(for number: Int) throws {
    guard let thread, number > 0 else { return }
    let start = ContinuousClock.now
    defer { exposedCommunicationSeconds += (ContinuousClock.now - start) / .seconds(1) }
    try thread.wait(for: number)
  }
}
