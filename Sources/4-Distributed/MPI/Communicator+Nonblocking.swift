// The nonblocking collectives on spans. The returned request borrows the spans, so the compiler keeps their memory
// alive and untouched until the operation is complete. That makes it sound to let a buffer's address escape its closure
// here.

extension Communicator {
  /// Starts `allReduce` in place.
  @_lifetime(&buffer)
  public func startAllReduce<E: CollectiveElement>(
    _ buffer: inout MutableSpan<E>, _ reduction: Reduction, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> BorrowingRequest {
    let arena = buffer.withUnsafeMutableBufferPointer { $0 }
    let request = BorrowingRequest(try startAllReduce(arena: arena, reduction, file: file, line: line))
    return _overrideLifetime(request, mutating: &buffer)
  }

  /// Starts `allReduce` of `source` into `destination`.
  @_lifetime(copy source, &destination)
  public func startAllReduce<E: CollectiveElement>(
    from source: Span<E>, into destination: inout MutableSpan<E>, _ reduction: Reduction, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) -> BorrowingRequest {
    let (from, into) = arenas(source, &destination)
    let request = BorrowingRequest(try startAllReduce(arena: from, into: into, reduction, file: file, line: line))
    return _overrideLifetime(request, mutating: &destination)
  }

  /// Starts `reduceScatter`.
  @_lifetime(copy source, &destination)
  public func startReduceScatter<E: CollectiveElement>(
    from source: Span<E>, into destination: inout MutableSpan<E>, _ reduction: Reduction, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) -> BorrowingRequest {
    let (from, into) = arenas(source, &destination)
    let request = BorrowingRequest(try startReduceScatter(arena: from, into: into, reduction, file: file, line: line))
    return _overrideLifetime(request, mutating: &destination)
  }

  /// Starts `broadcast`.
  @_lifetime(&buffer)
  public func startBroadcast<E: CollectiveElement>(
    _ buffer: inout MutableSpan<E>, root: Int, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> BorrowingRequest {
    let arena = buffer.withUnsafeMutableBufferPointer { $0 }
    let request = BorrowingRequest(try startBroadcast(arena: arena, root: root, file: file, line: line))
    return _overrideLifetime(request, mutating: &buffer)
  }

  /// Starts `allGather`; `layout` is the same on every rank.
  @_lifetime(copy source, &destination)
  public func startAllGather<E: CollectiveElement>(
    from source: Span<E>, into destination: inout MutableSpan<E>, layout: RankCounts, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) -> BorrowingRequest {
    let (from, into) = arenas(source, &destination)
    fillOwnRange(of: into, layout, from: from)
    let request = BorrowingRequest(try startAllGather(arena: into, layout: layout, file: file, line: line))
    return _overrideLifetime(request, mutating: &destination)
  }

  /// Starts `allToAll` with equal blocks.
  @_lifetime(copy source, &destination)
  public func startAllToAll<E: CollectiveElement>(
    from source: Span<E>, into destination: inout MutableSpan<E>, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> BorrowingRequest {
    let (from, into) = arenas(source, &destination)
    let request = BorrowingRequest(try startAllToAll(arena: from, into: into, file: file, line: line))
    return _overrideLifetime(request, mutating: &destination)
  }

  /// Starts `allToAll` by `plan`.
  @_lifetime(copy source, &destination)
  public func startAllToAll<E: CollectiveElement>(
    from source: Span<E>, into destination: inout MutableSpan<E>, plan: ExchangePlan, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) -> BorrowingRequest {
    let (from, into) = arenas(source, &destination)
    let request = BorrowingRequest(try startAllToAll(arena: from, into: into, plan: plan, file: file, line: line))
    return _overrideLifetime(request, mutating: &destination)
  }

  /// Starts `gather`; `layout` is the same on every rank, `destination` is used on `root` only.
  @_lifetime(copy source, &destination)
  public func startGather<E: CollectiveElement>(
    from source: Span<E>, into destination: inout MutableSpan<E>, layout: RankCounts, root: Int,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> BorrowingRequest {
    let (from, into) = arenas(source, &destination)
    let request = BorrowingRequest(
      try startGather(arena: from, into: into, layout: layout, root: root, file: file, line: line))
    return _overrideLifetime(request, mutating: &destination)
  }

  private func arenas<E: CollectiveElement>(
    _ source: Span<E>, _ destination: inout MutableSpan<E>
  ) -> (UnsafeBufferPointer<E>, UnsafeMutableBufferPointer<E>) {
    (source.withUnsafeBufferPointer { $0 }, destination.withUnsafeMutableBufferPointer { $0 })
  }
}
