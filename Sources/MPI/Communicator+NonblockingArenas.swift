internal import COpenMPI

// The nonblocking collectives on arenas: long-lived memory that the caller owns and MPI reads or writes after the call
// returns. This and the blocking file beside it are where the module's unsafe buffers are confined; everything else
// goes through spans. Here, too, is the only place that knows how operations too large for MPI's 32-bit counts are cut
// up.

extension Communicator {
  /// Starts `allReduce` in place.
  public func startAllReduce<E: CollectiveElement>(
    arena buffer: UnsafeMutableBufferPointer<E>, _ reduction: Reduction, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) -> Request {
    try reduceParts(forge_mpi_in_place(), into: buffer, reduction, file: file, line: line)
  }

  /// Starts `allReduce` of `source` into `destination`.
  public func startAllReduce<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, _ reduction: Reduction,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> Request {
    precondition(source.count == destination.count, "an all-reduce has as many results as elements")
    return try reduceParts(source.baseAddress, into: destination, reduction, file: file, line: line)
  }

  private func reduceParts<E: CollectiveElement>(
    _ source: UnsafeRawPointer?, into destination: UnsafeMutableBufferPointer<E>, _ reduction: Reduction,
    file: StaticString, line: UInt32
  ) throws(MPIError) -> Request {
    let isInPlace = source == UnsafeRawPointer(forge_mpi_in_place())
    var request = Request(entry: enter("MPI_Iallreduce", bytes: destination.count * MemoryLayout<E>.stride, file, line))
    for part in parts(of: destination.count) {
      let from = isInPlace ? source : source?.advanced(by: part.lowerBound * MemoryLayout<E>.stride)
      try request.add("MPI_Iallreduce") {
        MPI_Iallreduce(
          from, destination.at(part.lowerBound), part.mpiCount, E.datatype.handle, reduction.handle, handle, $0)
      }
    }
    return request
  }

  /// Starts `reduceScatter`.
  public func startReduceScatter<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, _ reduction: Reduction,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> Request {
    precondition(source.count == destination.count * size, "a reduce-scatter has a block for every rank")
    var request = Request(
      entry: enter("MPI_Ireduce_scatter_block", bytes: source.count * MemoryLayout<E>.stride, file, line))
    guard !fits(source.count) else {
      try request.add("MPI_Ireduce_scatter_block") {
        MPI_Ireduce_scatter_block(
          source.at(0), destination.at(0), Int32(destination.count), E.datatype.handle, reduction.handle, handle, $0)
      }
      return request
    }
    for root in 0..<size {
      for part in parts(of: destination.count) {
        let from = source.at(root * destination.count + part.lowerBound)
        try request.add("MPI_Ireduce") {
          MPI_Ireduce(
            from, destination.at(part.lowerBound), part.mpiCount, E.datatype.handle, reduction.handle, Int32(root),
            handle, $0)
        }
      }
    }
    return request
  }

  /// Starts `broadcast`.
  public func startBroadcast<E: CollectiveElement>(
    arena buffer: UnsafeMutableBufferPointer<E>, root: Int, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> Request {
    var request = Request(entry: enter("MPI_Ibcast", bytes: buffer.count * MemoryLayout<E>.stride, file, line))
    try addBroadcast(of: buffer, root: root, to: &request)
    return request
  }

  /// Starts `allGather` in place: each rank's own range of `layout` is filled already.
  public func startAllGather<E: CollectiveElement>(
    arena buffer: UnsafeMutableBufferPointer<E>, layout: Layout, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> Request {
    precondition(layout.counts.count == size && layout.extent <= buffer.count, "the layout is not of this buffer")
    var request = Request(
      keeping: [layout],
      entry: enter("MPI_Iallgatherv", bytes: layout.counts[rank] * MemoryLayout<E>.stride, file, line))
    guard !fits(layout.extent) else {
      try request.add("MPI_Iallgatherv") {
        MPI_Iallgatherv(
          forge_mpi_in_place(), 0, E.datatype.handle, buffer.at(0), layout.mpiCounts, layout.mpiOffsets,
          E.datatype.handle, handle, $0)
      }
      return request
    }
    for root in 0..<size where layout.counts[root] > 0 {
      try addBroadcast(of: .init(rebasing: buffer[layout.range(of: root)]), root: root, to: &request)
    }
    return request
  }

  private func addBroadcast<E: CollectiveElement>(
    of buffer: UnsafeMutableBufferPointer<E>, root: Int, to request: inout Request
  ) throws(MPIError) {
    for part in parts(of: buffer.count) {
      try request.add("MPI_Ibcast") {
        MPI_Ibcast(buffer.at(part.lowerBound), part.mpiCount, E.datatype.handle, Int32(root), handle, $0)
      }
    }
  }

  /// Starts `allToAll` with equal blocks.
  public func startAllToAll<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) -> Request {
    precondition(source.count == destination.count && source.count % size == 0, "all-to-all has a block for every rank")
    let block = source.count / size
    guard fits(source.count) else {
      let blocks = Layout(contiguous: .init(repeating: block, count: size))
      return try startPairwise(source, blocks, into: destination, blocks, file: file, line: line)
    }
    var request = Request(entry: enter("MPI_Ialltoall", bytes: source.count * MemoryLayout<E>.stride, file, line))
    try request.add("MPI_Ialltoall") {
      MPI_Ialltoall(
        source.at(0), Int32(block), E.datatype.handle, destination.at(0), Int32(block), E.datatype.handle, handle, $0)
    }
    return request
  }

  /// Starts `allToAll` by `plan`.
  public func startAllToAll<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, plan: ExchangePlan,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> Request {
    validate(plan, source, destination)
    if plan.needsParts {
      return try startPairwise(source, plan.send, into: destination, plan.receive, file: file, line: line)
    }
    var request = Request(
      keeping: [plan.send, plan.receive],
      entry: enter("MPI_Ialltoallv", bytes: plan.send.total * MemoryLayout<E>.stride, file, line))
    try request.add("MPI_Ialltoallv") {
      MPI_Ialltoallv(
        source.at(0), plan.send.mpiCounts, plan.send.mpiOffsets, E.datatype.handle, destination.at(0),
        plan.receive.mpiCounts, plan.receive.mpiOffsets, E.datatype.handle, handle, $0)
    }
    return request
  }

  func validate<E>(
    _ plan: ExchangePlan, _ source: UnsafeBufferPointer<E>, _ destination: UnsafeMutableBufferPointer<E>
  ) {
    precondition(plan.send.counts.count == size, "the plan is for another number of ranks")
    precondition(
      plan.send.extent <= source.count && plan.receive.extent <= destination.count, "the plan is not of these buffers")
  }

  /// Starts `gather`; `layout` must be the same on every rank, `destination` is used on `root` only.
  public func startGather<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, layout: Layout, root: Int,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) -> Request {
    precondition(layout.counts[rank] == source.count, "this rank's count is not the layout's")
    precondition(rank != root || layout.extent <= destination.count, "the layout is not of this buffer")
    guard fits(layout.extent) else {
      let none = Layout(contiguous: .init(repeating: 0, count: size))
      var send = none.counts
      send[root] = source.count
      return try startPairwise(
        source, Layout(contiguous: send), into: destination, rank == root ? layout : none, file: file, line: line)
    }
    var request = Request(
      keeping: [layout], entry: enter("MPI_Igatherv", bytes: source.count * MemoryLayout<E>.stride, file, line))
    try request.add("MPI_Igatherv") {
      MPI_Igatherv(
        source.at(0), Int32(source.count), E.datatype.handle, destination.at(0), layout.mpiCounts, layout.mpiOffsets,
        E.datatype.handle, Int32(root), handle, $0)
    }
    return request
  }

  /// Starts a barrier, which is complete when every rank has started it.
  public func startBarrier(file: StaticString = #fileID, line: UInt32 = #line) throws(MPIError) -> Request {
    var request = Request(entry: enter("MPI_Ibarrier", bytes: 0, file, line))
    try request.add("MPI_Ibarrier") { MPI_Ibarrier(handle, $0) }
    return request
  }

  /// Starts a send and a receive for every pair of ranks, in as many parts as their counts need.
  ///
  /// MPI keeps messages between two ranks in order, so the parts of several operations cannot be mixed up.
  private func startPairwise<E: CollectiveElement>(
    _ source: UnsafeBufferPointer<E>, _ send: Layout, into destination: UnsafeMutableBufferPointer<E>,
    _ receive: Layout, file: StaticString, line: UInt32
  ) throws(MPIError) -> Request {
    let tag: Int32 = 0
    var request = Request(
      entry: enter("MPI_Isend and MPI_Irecv", bytes: send.total * MemoryLayout<E>.stride, file, line))
    for distance in 0..<size {
      let sender = (rank - distance + size) % size
      for part in parts(of: receive.counts[sender]) where !part.isEmpty {
        try request.add("MPI_Irecv") {
          MPI_Irecv(
            destination.at(receive.offsets[sender] + part.lowerBound), part.mpiCount, E.datatype.handle, Int32(sender),
            tag, handle, $0)
        }
      }
      let receiver = (rank + distance) % size
      for part in parts(of: send.counts[receiver]) where !part.isEmpty {
        try request.add("MPI_Isend") {
          MPI_Isend(
            source.at(send.offsets[receiver] + part.lowerBound), part.mpiCount, E.datatype.handle, Int32(receiver), tag,
            handle, $0)
        }
      }
    }
    return request
  }
}

extension Range<Int> {
  /// The range's count as MPI takes it; `Communicator.parts` has made it fit.
  var mpiCount: Int32 { Int32(count) }
}

extension UnsafeBufferPointer {
  /// The address of the element at `index`; nil when the buffer has no memory, which MPI accepts for a count of 0.
  func at(_ index: Int) -> UnsafePointer<Element>? { baseAddress?.advanced(by: index) }
}

extension UnsafeMutableBufferPointer {
  /// The address of the element at `index`; nil when the buffer has no memory, which MPI accepts for a count of 0.
  func at(_ index: Int) -> UnsafeMutablePointer<Element>? { baseAddress?.advanced(by: index) }
}
