// The blocking collectives on arenas.

extension Communicator {
  /// Combines the buffers of all ranks, element by element, and leaves the result in every one of them.
  public func allReduce<E: CollectiveElement>(
    arena buffer: UnsafeMutableBufferPointer<E>, _ reduction: Reduction, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) {
    try perform(allReduction(in: buffer, reduction), file, line)
  }

  /// Combines the `source` of all ranks, element by element, into everybody's `destination`, of the same count.
  public func allReduce<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, _ reduction: Reduction,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try perform(allReduction(of: source, into: destination, reduction), file, line)
  }

  /// Combines the `source` of all ranks, a block for each rank, and leaves block `r` in the `destination` of rank `r`.
  public func reduceScatter<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, _ reduction: Reduction,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try perform(reductionByBlocks(of: source, into: destination, reduction), file, line)
  }

  /// Copies the buffer of `root` into everybody's.
  public func broadcast<E: CollectiveElement>(
    arena buffer: UnsafeMutableBufferPointer<E>, root: Int, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try perform(broadcasting(buffer, root: root), file, line)
  }

  /// Copies every rank's own range of `layout` into everybody's `buffer`, in place.
  public func allGather<E: CollectiveElement>(
    arena buffer: UnsafeMutableBufferPointer<E>, layout: RankCounts, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try perform(gathering(in: buffer, layout), file, line)
  }

  /// Sends block `r` of `source` to rank `r`; block `r` of `destination` comes from rank `r`. All blocks are equal.
  public func allToAll<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) {
    try perform(exchange(of: source, into: destination), file, line)
  }

  /// Sends each rank what `plan` says it gets, and receives the same way.
  public func allToAll<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, plan: ExchangePlan,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try perform(exchange(of: source, into: destination, plan), file, line)
  }

  /// Brings every rank's `source` to the `destination` of `root`, at the places of `layout`, which is the same on every
  /// rank.
  public func gather<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, layout: RankCounts,
    root: Int,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try perform(gathering(source, into: destination, layout, root: root), file, line)
  }
}
