// The nonblocking collectives on arenas: long-lived memory that the caller owns and that is read or written after the
// call returns. Only these methods and their blocking forms take unsafe buffers in the public interface; all others
// take spans.

extension Communicator {
  /// Starts `allReduce` in place.
  public func startAllReduce<E: CollectiveElement>(
    arena buffer: UnsafeMutableBufferPointer<E>, _ reduction: Reduction, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) -> Request {
    try start(allReduction(in: buffer, reduction), file, line)
  }

  /// Starts `allReduce` of `source` into `destination`.
  public func startAllReduce<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, _ reduction: Reduction,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> Request {
    try start(allReduction(of: source, into: destination, reduction), file, line)
  }

  /// Starts `reduceScatter`.
  public func startReduceScatter<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, _ reduction: Reduction,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> Request {
    try start(reductionByBlocks(of: source, into: destination, reduction), file, line)
  }

  /// Starts `broadcast`.
  public func startBroadcast<E: CollectiveElement>(
    arena buffer: UnsafeMutableBufferPointer<E>, root: Int, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> Request {
    try start(broadcasting(buffer, root: root), file, line)
  }

  /// Starts `allGather` in place; each rank has filled its own range of `layout`.
  public func startAllGather<E: CollectiveElement>(
    arena buffer: UnsafeMutableBufferPointer<E>, layout: RankCounts, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> Request {
    try start(gathering(in: buffer, layout), file, line)
  }

  /// Starts `allToAll` with equal blocks.
  public func startAllToAll<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) -> Request {
    try start(exchange(of: source, into: destination), file, line)
  }

  /// Starts `allToAll` by `plan`.
  public func startAllToAll<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, plan: ExchangePlan,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> Request {
    try start(exchange(of: source, into: destination, plan), file, line)
  }

  /// Starts `gather`; `layout` must be the same on every rank, `destination` is used on `root` only.
  public func startGather<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, layout: RankCounts,
    root: Int,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> Request {
    try start(gathering(source, into: destination, layout, root: root), file, line)
  }

  /// Starts a barrier, which is complete when every rank has started it.
  public func startBarrier(file: StaticString = #fileID, line: UInt32 = #line) throws(MPIError) -> Request {
    try start(.barrier, file, line)
  }

  // MARK: Checked collectives, shared with the blocking forms

  func allReduction<E: CollectiveElement>(
    in buffer: UnsafeMutableBufferPointer<E>, _ reduction: Reduction
  ) -> Collective {
    .allReduce(
      from: nil, into: buffer.baseAddress, count: buffer.count, datatype: E.datatype, reduction: reduction)
  }

  func allReduction<E: CollectiveElement>(
    of source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, _ reduction: Reduction
  ) -> Collective {
    precondition(source.count == destination.count, "an all-reduce has as many results as elements")
    return .allReduce(
      from: source.baseAddress, into: destination.baseAddress, count: source.count, datatype: E.datatype,
      reduction: reduction)
  }

  func reductionByBlocks<E: CollectiveElement>(
    of source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, _ reduction: Reduction
  ) -> Collective {
    precondition(source.count == destination.count * size, "a reduce-scatter has a block for every rank")
    return .reduceScatter(
      from: source.baseAddress, into: destination.baseAddress, block: destination.count, datatype: E.datatype,
      reduction: reduction)
  }

  func broadcasting<E: CollectiveElement>(_ buffer: UnsafeMutableBufferPointer<E>, root: Int) -> Collective {
    .broadcast(buffer.baseAddress, count: buffer.count, datatype: E.datatype, root: root)
  }

  func gathering<E: CollectiveElement>(in buffer: UnsafeMutableBufferPointer<E>, _ layout: RankCounts) -> Collective {
    precondition(layout.counts.count == size && layout.extent <= buffer.count, "the layout is not of this buffer")
    return .allGather(buffer.baseAddress, layout: layout, datatype: E.datatype)
  }

  func exchange<E: CollectiveElement>(
    of source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>
  ) -> Collective {
    precondition(source.count == destination.count && source.count % size == 0, "all-to-all has a block for every rank")
    return .allToAll(
      from: source.baseAddress, into: destination.baseAddress, block: source.count / size, datatype: E.datatype)
  }

  func exchange<E: CollectiveElement>(
    of source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, _ plan: ExchangePlan
  ) -> Collective {
    precondition(plan.send.counts.count == size, "the plan is for another number of ranks")
    precondition(
      plan.send.extent <= source.count && plan.receive.extent <= destination.count, "the plan is not of these buffers")
    return .exchange(from: source.baseAddress, into: destination.baseAddress, plan: plan, datatype: E.datatype)
  }

  func gathering<E: CollectiveElement>(
    _ source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, _ layout: RankCounts, root: Int
  ) -> Collective {
    precondition(layout.counts[rank] == source.count, "this rank's count is not the layout's")
    precondition(rank != root || layout.extent <= destination.count, "the layout is not of this buffer")
    return .gather(
      from: source.baseAddress, into: destination.baseAddress, layout: layout, datatype: E.datatype, root: root)
  }
}
