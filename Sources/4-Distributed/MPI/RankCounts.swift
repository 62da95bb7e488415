/// Counts and displacements of a collective: rank `r` has `counts[r]` elements from `offsets[r]` on.
///
/// Made once and used every step: it holds the arrays that MPI reads.
public final class RankCounts: Sendable {
  public let counts: [Int]
  public let offsets: [Int]
  /// One past the last element that the layout touches.
  public let extent: Int
  /// The elements of all ranks together.
  public let total: Int

  // 32-bit copies for MPI, at addresses that stay valid during a nonblocking call; nil when they exceed 32 bits.
  // Written once in `init` and only read afterwards.
  nonisolated(unsafe) let mpiCounts: UnsafeMutablePointer<Int32>?
  nonisolated(unsafe) let mpiOffsets: UnsafeMutablePointer<Int32>?

  /// A layout with explicit offsets; ranges must not overlap in a receive buffer.
  public init(counts: [Int], offsets: [Int]) {
    precondition(counts.count == offsets.count, "a layout needs a count and an offset for every rank")
    precondition(counts.allSatisfy { $0 >= 0 } && offsets.allSatisfy { $0 >= 0 }, "a layout has no negative numbers")
    self.counts = counts
    self.offsets = offsets
    self.extent = zip(counts, offsets).map { $0 == 0 ? 0 : $0 + $1 }.max() ?? 0
    total = counts.reduce(0, +)
    guard let largest = offsets.max(), max(largest, extent) <= Int(Int32.max) else {
      mpiCounts = nil
      mpiOffsets = nil
      return
    }
    mpiCounts = .allocate(capacity: counts.count)
    mpiOffsets = .allocate(capacity: counts.count)
    for rank in counts.indices {
      mpiCounts?[rank] = Int32(counts[rank])
      mpiOffsets?[rank] = Int32(offsets[rank])
    }
  }

  /// The ranks' elements one after another, in the order of ranks.
  public convenience init(contiguous counts: [Int]) {
    var next = 0
    let offsets = counts.map { count in
      defer { next += count }
      return next
    }
    self.init(counts: counts, offsets: offsets)
  }

  deinit {
    mpiCounts?.deallocate()
    mpiOffsets?.deallocate()
  }

  /// The elements of `rank`.
  public func range(of rank: Int) -> Range<Int> { offsets[rank]..<offsets[rank] + counts[rank] }
}

/// Send and receive counts of an all-to-all with a count per pair of ranks (`MPI_Alltoallv`).
public final class ExchangePlan: Sendable {
  /// Range `r` is sent to rank `r`.
  public let send: RankCounts
  /// Range `r` is received from rank `r`.
  public let receive: RankCounts
  /// Whether any rank's buffer exceeds what one MPI call can address; the same on every rank.
  let needsParts: Bool

  /// A plan from counts that every rank has computed locally; both extents must be at most `Int32.max`.
  public convenience init(send: RankCounts, receive: RankCounts) {
    precondition(max(send.extent, receive.extent) <= Int(Int32.max), "an exchange this large is planned collectively")
    self.init(send: send, receive: receive, needsParts: false)
  }

  /// A plan with the max buffer size over all ranks, in elements, which decides whether the exchange is split into
  /// parts.
  public convenience init(send: RankCounts, receive: RankCounts, largest: Int) {
    self.init(send: send, receive: receive, needsParts: largest > Int(Int32.max))
  }

  init(send: RankCounts, receive: RankCounts, needsParts: Bool) {
    precondition(send.counts.count == receive.counts.count, "both layouts of an exchange name the same ranks")
    self.send = send
    self.receive = receive
    self.needsParts = needsParts
  }
}

extension Communicator {
  /// Exchanges the counts of an all-to-all and returns its plan. Collective.
  ///
  /// - Parameter sendCounts: the elements for each rank, contiguous in the order of ranks, as are the received ones.
  public func planExchange(sendCounts: [Int], file: StaticString = #fileID, line: UInt32 = #line) throws(MPIError)
    -> ExchangePlan
  {
    precondition(sendCounts.count == size, "an exchange needs a count for every rank")
    let outgoing = sendCounts.map { Int64($0) }
    var incoming = [Int64](repeating: 0, count: size)
    var incomingSpan = incoming.mutableSpan
    try allToAll(from: outgoing.span, into: &incomingSpan, file: file, line: line)
    let (send, receive) = (RankCounts(contiguous: sendCounts), RankCounts(contiguous: incoming.map { Int($0) }))
    // All ranks must choose alike, in parts or not, so the max over all ranks decides.
    let largest = try allReduce(Int64(max(send.total, receive.total)), .max, file: file, line: line)
    return ExchangePlan(send: send, receive: receive, needsParts: largest > countLimit)
  }
}
