// The blocking collectives on arenas.

extension Communicator {
  /// All-reduce in place: reduces the buffers of all ranks element by element and returns the result to every rank.
  public func allReduce<E: CollectiveElement>(
    arena buffer: UnsafeMutableBufferPointer<E>, _ reduction: Reduction, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) {
    try perform(allReduction(in: buffer, reduction), file, line)
  }

  /// All-reduce: reduces the `source` of all ranks element by element into the `destination` of every rank, of the same
  /// count.
  public func allReduce<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, _ reduction: Reduction,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try perform(allReduction(of: source, into: destination, reduction), file, line)
  }

  /// Reduce-scatter: reduces the `source` of all ranks, one block per rank; rank `r` receives block `r` in
  /// `destination`.
  public func reduceScatter<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, _ reduction: Reduction,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try perform(reductionByBlocks(of: source, into: destination, reduction), file, line)
  }

  /// Broadcasts the buffer of `root` to all ranks.
  public func broadcast<E: CollectiveElement>(
    arena buffer: UnsafeMutableBufferPointer<E>, root: Int, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try perform(broadcasting(buffer, root: root), file, line)
  }

  /// All-gather in place: every rank's own range of `layout` is copied to the `buffer` of all ranks.
  public func allGather<E: CollectiveElement>(
    arena buffer: UnsafeMutableBufferPointer<E>, layout: RankCounts, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try perform(gathering(in: buffer, layout), file, line)
  }

  /// All-to-all: sends block `r` of `source` to rank `r` and receives block `r` of `destination` from it. All blocks
  /// have the same size.
  public func allToAll<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) {
    try perform(exchange(of: source, into: destination), file, line)
  }

  /// All-to-all with the send and receive counts of `plan`.
  public func allToAll<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, plan: ExchangePlan,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try perform(exchange(of: source, into: destination, plan), file, line)
  }

  /// Gathers every rank's `source` in the `destination` of `root`, at the offsets of `layout`, which is the same on
  /// every rank.
  public func gather<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, layout: RankCounts,
    root: Int,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try perform(gathering(source, into: destination, layout, root: root), file, line)
  }
}
