/// A collective operation with one rank's buffers and counts (MPI 3.1, chapter 5).
///
/// The addresses stay valid until the operation is complete: for arenas the caller is responsible, for spans the
/// `BorrowingRequest` enforces it. Counts are in elements; layouts and plans have been checked against their buffers.
enum Collective {
  case barrier
  /// In place without a source.
  case allReduce(
    from: UnsafeRawPointer?, into: UnsafeMutableRawPointer?, count: Int, datatype: Datatype, reduction: Reduction)
  /// `block` elements for each rank.
  case reduceScatter(
    from: UnsafeRawPointer?, into: UnsafeMutableRawPointer?, block: Int, datatype: Datatype, reduction: Reduction)
  case broadcast(UnsafeMutableRawPointer?, count: Int, datatype: Datatype, root: Int)
  /// In place.
  case allGather(UnsafeMutableRawPointer?, layout: RankCounts, datatype: Datatype)
  /// `block` elements for each rank.
  case allToAll(from: UnsafeRawPointer?, into: UnsafeMutableRawPointer?, block: Int, datatype: Datatype)
  /// All-to-all with a count per pair of ranks (`MPI_Alltoallv`).
  case exchange(from: UnsafeRawPointer?, into: UnsafeMutableRawPointer?, plan: ExchangePlan, datatype: Datatype)
  case gather(
    from: UnsafeRawPointer?, into: UnsafeMutableRawPointer?, layout: RankCounts, datatype: Datatype, root: Int)

  /// The bytes that this rank contributes.
  func bytes(rank: Int, ranks: Int) -> Int {
    switch self {
    case .barrier: 0
    case .allReduce(_, _, let count, let datatype, _): count * datatype.stride
    case .reduceScatter(_, _, let block, let datatype, _): block * ranks * datatype.stride
    case .broadcast(_, let count, let datatype, _): count * datatype.stride
    case .allGather(_, let layout, let datatype): layout.counts[rank] * datatype.stride
    case .allToAll(_, _, let block, let datatype): block * ranks * datatype.stride
    case .exchange(_, _, let plan, let datatype): plan.send.total * datatype.stride
    case .gather(_, _, let layout, let datatype, _): layout.counts[rank] * datatype.stride
    }
  }

  /// Whether the operation exceeds one MPI call, which transfers or addresses up to `limit` elements; the same on every
  /// rank.
  func needsParts(limit: Int, ranks: Int) -> Bool {
    switch self {
    case .barrier: false
    case .allReduce(_, _, let count, _, _), .broadcast(_, let count, _, _): count > limit
    case .reduceScatter(_, _, let block, _, _), .allToAll(_, _, let block, _): block * ranks > limit
    case .allGather(_, let layout, _), .gather(_, _, let layout, _, _): layout.extent > limit
    case .exchange(_, _, let plan, _): plan.needsParts
    }
  }

  /// The blocking MPI function; nil where only the nonblocking form is used.
  var blockingCall: StaticString? {
    switch self {
    case .barrier: "MPI_Barrier"
    case .allReduce: "MPI_Allreduce"
    case .reduceScatter: "MPI_Reduce_scatter_block"
    case .broadcast: "MPI_Bcast"
    case .allGather: "MPI_Allgatherv"
    case .allToAll: "MPI_Alltoall"
    case .exchange: "MPI_Alltoallv"
    case .gather: nil
    }
  }

  /// The nonblocking MPI function, or the functions used when the operation is split into parts.
  func nonblockingCall(inParts: Bool) -> StaticString {
    switch self {
    case .barrier: "MPI_Ibarrier"
    case .allReduce: "MPI_Iallreduce"
    case .reduceScatter: "MPI_Ireduce_scatter_block"
    case .broadcast: "MPI_Ibcast"
    case .allGather: "MPI_Iallgatherv"
    case .allToAll where !inParts: "MPI_Ialltoall"
    case .exchange where !inParts: "MPI_Ialltoallv"
    case .gather where !inParts: "MPI_Igatherv"
    case .allToAll, .exchange, .gather: "MPI_Isend and MPI_Irecv"
    }
  }
}
