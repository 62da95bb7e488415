// The blocking collectives on spans, and on single values and byte strings for small messages. A span's count is
// checked locally; that every rank passes the same count cannot be checked here.

extension Communicator {
  /// All-reduce in place: reduces the buffers of all ranks element by element and returns the result to every rank.
  public func allReduce<E: CollectiveElement>(
    _ buffer: inout MutableSpan<E>, _ reduction: Reduction, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try buffer.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in
      try allReduce(arena: buffer, reduction, file: file, line: line)
    }
  }

  /// All-reduce: reduces the `source` of all ranks element by element into the `destination` of every rank, of the same
  /// count.
  public func allReduce<E: CollectiveElement>(
    from source: Span<E>, into destination: inout MutableSpan<E>, _ reduction: Reduction, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) {
    try withBuffers(source, &destination) { (source, destination) throws(MPIError) in
      try allReduce(arena: source, into: destination, reduction, file: file, line: line)
    }
  }

  /// All-reduce of one value per rank.
  public func allReduce<E: CollectiveElement>(
    _ value: E, _ reduction: Reduction, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> E {
    var result = value
    try withUnsafeMutablePointer(to: &result) { (pointer) throws(MPIError) in
      try allReduce(arena: .init(start: pointer, count: 1), reduction, file: file, line: line)
    }
    return result
  }

  /// Reduce-scatter: reduces the `source` of all ranks, one block per rank; rank `r` receives block `r` in
  /// `destination`.
  public func reduceScatter<E: CollectiveElement>(
    from source: Span<E>, into destination: inout MutableSpan<E>, _ reduction: Reduction, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) {
    try withBuffers(source, &destination) { (source, destination) throws(MPIError) in
      try reduceScatter(arena: source, into: destination, reduction, file: file, line: line)
    }
  }

  /// Broadcasts the buffer of `root` to all ranks.
  public func broadcast<E: CollectiveElement>(
    _ buffer: inout MutableSpan<E>, root: Int, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try buffer.withUnsafeMutableBufferPointer { (buffer) throws(MPIError) in
      try broadcast(arena: buffer, root: root, file: file, line: line)
    }
  }

  /// Broadcasts the bytes of `root` and returns them on every rank; those of other ranks are ignored.
  public func broadcast(_ bytes: [UInt8], root: Int, file: StaticString = #fileID, line: UInt32 = #line)
    throws(MPIError) -> [UInt8]
  {
    let count = try allReduce(rank == root ? Int64(bytes.count) : 0, .max, file: file, line: line)
    var result = rank == root ? bytes : [UInt8](repeating: 0, count: Int(count))
    var span = result.mutableSpan
    try broadcast(&span, root: root, file: file, line: line)
    return result
  }

  /// All-gather: the `source` of rank `r` becomes block `r` of every rank's `destination`. All blocks have the same
  /// size.
  public func allGather<E: CollectiveElement>(
    from source: Span<E>, into destination: inout MutableSpan<E>, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try allGather(
      from: source, into: &destination, layout: RankCounts(contiguous: .init(repeating: source.count, count: size)),
      file: file, line: line)
  }

  /// All-gather of every rank's `source`, at the offsets of `layout`, which is the same on every rank.
  public func allGather<E: CollectiveElement>(
    from source: Span<E>, into destination: inout MutableSpan<E>, layout: RankCounts, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) {
    try withBuffers(source, &destination) { (source, destination) throws(MPIError) in
      fillOwnRange(of: destination, layout, from: source)
      try allGather(arena: destination, layout: layout, file: file, line: line)
    }
  }

  /// All-to-all: sends block `r` of `source` to rank `r` and receives block `r` of `destination` from it. All blocks
  /// have the same size.
  public func allToAll<E: CollectiveElement>(
    from source: Span<E>, into destination: inout MutableSpan<E>, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try withBuffers(source, &destination) { (source, destination) throws(MPIError) in
      try allToAll(arena: source, into: destination, file: file, line: line)
    }
  }

  /// All-to-all with the send and receive counts of `plan`.
  public func allToAll<E: CollectiveElement>(
    from source: Span<E>, into destination: inout MutableSpan<E>, plan: ExchangePlan, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) {
    try withBuffers(source, &destination) { (source, destination) throws(MPIError) in
      try allToAll(arena: source, into: destination, plan: plan, file: file, line: line)
    }
  }

  /// Gathers the `source` of rank `r` as block `r` of the `destination` of `root`; other ranks' `destination` is not
  /// used.
  public func gather<E: CollectiveElement>(
    from source: Span<E>, into destination: inout MutableSpan<E>, root: Int, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) {
    let blocks = RankCounts(contiguous: .init(repeating: source.count, count: size))
    try gather(from: source, into: &destination, layout: blocks, root: root, file: file, line: line)
  }

  /// Gathers every rank's `source` in the `destination` of `root`, at the offsets of `layout`, which is the same on
  /// every rank.
  public func gather<E: CollectiveElement>(
    from source: Span<E>, into destination: inout MutableSpan<E>, layout: RankCounts, root: Int,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try withBuffers(source, &destination) { (source, destination) throws(MPIError) in
      try gather(arena: source, into: destination, layout: layout, root: root, file: file, line: line)
    }
  }

  /// Gathers every rank's bytes on `root`, in the order of ranks; other ranks get an empty array.
  public func gather(_ bytes: [UInt8], root: Int, file: StaticString = #fileID, line: UInt32 = #line) throws(MPIError)
    -> [[UInt8]]
  {
    var counts = [Int64](repeating: 0, count: size)
    var countSpan = counts.mutableSpan
    try allGather(from: [Int64(bytes.count)].span, into: &countSpan, file: file, line: line)
    let layout = RankCounts(contiguous: counts.map { Int($0) })
    var all = [UInt8](repeating: 0, count: rank == root ? layout.extent : 0)
    var span = all.mutableSpan
    try gather(from: bytes.span, into: &span, layout: layout, root: root, file: file, line: line)
    return rank == root ? (0..<size).map { Array(all[layout.range(of: $0)]) } : []
  }

  func fillOwnRange<E>(
    of destination: UnsafeMutableBufferPointer<E>, _ layout: RankCounts, from source: UnsafeBufferPointer<E>
  ) where E: CollectiveElement {
    precondition(layout.counts.count == size && layout.counts[rank] == source.count, "the layout is not of this buffer")
    precondition(layout.extent <= destination.count, "the layout is larger than the destination")
    guard let from = source.baseAddress, let to = destination.baseAddress else { return }
    (to + layout.offsets[rank]).update(from: from, count: source.count)
  }

  private func withBuffers<E: CollectiveElement>(
    _ source: Span<E>, _ destination: inout MutableSpan<E>,
    _ body: (UnsafeBufferPointer<E>, UnsafeMutableBufferPointer<E>) throws(MPIError) -> Void
  ) throws(MPIError) {
    try source.withUnsafeBufferPointer { (source) throws(MPIError) in
      try destination.withUnsafeMutableBufferPointer { (destination) throws(MPIError) in
        try body(source, destination)
      }
    }
  }
}
