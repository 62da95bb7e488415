import Glibc
import Kernels
public import MPI

/// A part of the parameter arena that some ranks hold alike, and what each of them owns of it.
public struct ExchangedPiece: Sendable {
  /// The index, in the reducer's groups, of the ranks that hold it.
  public let group: Int
  public let range: Range<Int>
  /// By rank of the group.
  public let owned: [Range<Int>]

  public init(group: Int, range: Range<Int>, owned: [Range<Int>]) {
    self.group = group
    self.range = range
    self.owned = owned
  }
}

/// Sums the ranks' gradients exactly, and spreads the updated parameters, behind the computation.
///
/// A rank's gradient is an arena of 64-bit fixed-point numbers, cut in pieces. When a piece is final on this rank,
/// `submit` hands it to a communication thread, which exchanges it with the other ranks that hold the piece and adds up
/// the range that this rank owns, in place. Sums of integers do not depend on any order, so neither does the result
/// depend on the number of ranks. After the optimizer has updated a piece's owned range of the parameters,
/// `submitGather` brings everybody's range to everybody, in place, while the next forward pass begins.
///
/// Every rank of a group submits the same pieces in the same order, pieces to which it contributes nothing too. The
/// methods are called by one thread of the rank. Where a group is one rank they return at once. A step allocates nothing.
///
/// The arenas are the confined unsafe point of this target: the caller leaves a piece's memory untouched between
/// `submit` and `wait`, and between `submitGather` and `waitGather`.
///
/// The exchange is an all-to-all in chunks that stay in the processor's cache, followed by a local sum, which took a
/// third of the time of `MPI_Allreduce` on the same numbers.
public final class ExactGradientReducer {
  /// What happens to a rank's sums outside of its owned range when a piece has been reduced.
  public enum Remainder: Sendable {
    /// They stay what they were, and are worth nothing.
    case keep
    /// Their memory is given back, and they are zero.
    case discard
    /// Everybody's complete sums replace them.
    case gather
  }

  /// The time that the waiting methods have kept their callers, in seconds.
  public private(set) var exposedSeconds = 0.0

  private let pieces: [ExchangedPiece]
  private let thread: SerialThread<PieceExchange.Work>?
  private let isShared: [Bool]
  // By piece, the number of its last reduction and of its last gather.
  private var lastReduction: [Int]
  private var lastGather: [Int]

  /// Plans the exchange. Collective.
  ///
  /// - Parameters:
  ///   - groups: the communicators that the pieces name; duplicates of them are used.
  ///   - pieces: disjoint ranges of both arenas, the same on all ranks of their group.
  ///   - gradient: the fixed-point accumulators, `[parameters]`.
  ///   - parameters: the parameters, `[parameters]`, in the same order.
  /// - Throws: `MPIError`.
  public init(
    groups: [Communicator], pieces: [ExchangedPiece], gradient: Arena<Int64>, parameters: Arena<Float>,
    remainder: Remainder = .keep
  ) throws {
    self.pieces = pieces
    isShared = pieces.map { groups[$0.group].size > 1 }
    lastReduction = .init(repeating: 0, count: pieces.count)
    lastGather = lastReduction
    guard isShared.contains(true) else {
      thread = nil
      return
    }
    let groups = try groups.map { try $0.duplicate(name: "gradients (\($0.name))") }
    let exchange = PieceExchange(
      groups: groups, pieces: pieces, gradient: gradient, parameters: parameters, remainder: remainder)
    thread = try SerialThread(isUrgent: true, lookingAhead: exchange.perform)
  }

  /// Says that this rank's gradient of `piece` is final, and starts its sum.
  public func submit(piece: Int) {
    if isShared[piece], let thread { lastReduction[piece] = thread.submit(.reduce(piece: piece)) }
  }

  /// Returns when `piece` is summed, if it was submitted.
  ///
  /// - Throws: the communication thread's `MPIError`.
  public func wait(piece: Int) throws { try wait(for: lastReduction[piece]) }

  /// Returns when all submitted pieces are summed: this rank's owned ranges are complete.
  public func wait() throws { try wait(for: lastReduction.max() ?? 0) }

  /// Says that this rank's owned range of the parameters of `piece` is up to date, and starts bringing it to all ranks.
  public func submitGather(piece: Int) {
    if isShared[piece], let thread { lastGather[piece] = thread.submit(.gather(piece: piece)) }
  }

  /// Returns when all ranks' parameters of `piece` are here, if they were submitted.
  public func waitGather(piece: Int) throws { try wait(for: lastGather[piece]) }

  private func wait(for number: Int) throws {
    guard let thread, number > 0 else { return }
    let start = ContinuousClock.now
    defer { exposedSeconds += (ContinuousClock.now - start) / .seconds(1) }
    try thread.wait(for: number)
  }
}
