internal import COpenMPI

// The blocking collectives on arenas. Each is one call where MPI's 32-bit counts suffice and otherwise the nonblocking
// form, which knows how to cut it up, waited for at once.

extension Communicator {
  /// Combines the buffers of all ranks, element by element, and leaves the result in every one of them.
  public func allReduce<E: CollectiveElement>(
    arena buffer: UnsafeMutableBufferPointer<E>, _ reduction: Reduction, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) {
    guard fits(buffer.count) else { return try startAllReduce(arena: buffer, reduction, file: file, line: line).wait() }
    try record("MPI_Allreduce", bytes: buffer.count * MemoryLayout<E>.stride, file, line) {
      MPI_Allreduce(
        forge_mpi_in_place(), buffer.at(0), Int32(buffer.count), E.datatype.handle, reduction.handle, handle)
    }
  }

  /// Combines the `source` of all ranks, element by element, into everybody's `destination`, of the same count.
  public func allReduce<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, _ reduction: Reduction,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    precondition(source.count == destination.count, "an all-reduce has as many results as elements")
    guard fits(source.count) else {
      return try startAllReduce(arena: source, into: destination, reduction, file: file, line: line).wait()
    }
    try record("MPI_Allreduce", bytes: source.count * MemoryLayout<E>.stride, file, line) {
      MPI_Allreduce(
        source.at(0), destination.at(0), Int32(source.count), E.datatype.handle, reduction.handle, handle)
    }
  }

  /// Combines the `source` of all ranks, a block for each rank, and leaves block `r` in the `destination` of rank `r`.
  public func reduceScatter<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, _ reduction: Reduction,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    precondition(source.count == destination.count * size, "a reduce-scatter has a block for every rank")
    guard fits(source.count) else {
      return try startReduceScatter(arena: source, into: destination, reduction, file: file, line: line).wait()
    }
    try record("MPI_Reduce_scatter_block", bytes: source.count * MemoryLayout<E>.stride, file, line) {
      MPI_Reduce_scatter_block(
        source.at(0), destination.at(0), Int32(destination.count), E.datatype.handle, reduction.handle, handle)
    }
  }

  /// Copies the buffer of `root` into everybody's.
  public func broadcast<E: CollectiveElement>(
    arena buffer: UnsafeMutableBufferPointer<E>, root: Int, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    guard fits(buffer.count) else {
      return try startBroadcast(arena: buffer, root: root, file: file, line: line).wait()
    }
    try record("MPI_Bcast", bytes: buffer.count * MemoryLayout<E>.stride, file, line) {
      MPI_Bcast(buffer.at(0), Int32(buffer.count), E.datatype.handle, Int32(root), handle)
    }
  }

  /// Copies every rank's own range of `layout` into everybody's `buffer`, in place.
  public func allGather<E: CollectiveElement>(
    arena buffer: UnsafeMutableBufferPointer<E>, layout: Layout, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    precondition(layout.counts.count == size && layout.extent <= buffer.count, "the layout is not of this buffer")
    guard fits(layout.extent) else {
      return try startAllGather(arena: buffer, layout: layout, file: file, line: line).wait()
    }
    try record("MPI_Allgatherv", bytes: layout.counts[rank] * MemoryLayout<E>.stride, file, line) {
      MPI_Allgatherv(
        forge_mpi_in_place(), 0, E.datatype.handle, buffer.at(0), layout.mpiCounts, layout.mpiOffsets,
        E.datatype.handle, handle)
    }
  }

  /// Sends block `r` of `source` to rank `r`; block `r` of `destination` comes from rank `r`. All blocks are equal.
  public func allToAll<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, file: StaticString = #fileID,
    line: UInt32 = #line
  ) throws(MPIError) {
    precondition(source.count == destination.count && source.count % size == 0, "all-to-all has a block for every rank")
    guard fits(source.count) else {
      return try startAllToAll(arena: source, into: destination, file: file, line: line).wait()
    }
    let block = Int32(source.count / size)
    try record("MPI_Alltoall", bytes: source.count * MemoryLayout<E>.stride, file, line) {
      MPI_Alltoall(source.at(0), block, E.datatype.handle, destination.at(0), block, E.datatype.handle, handle)
    }
  }

  /// Sends each rank what `plan` says it gets, and receives the same way.
  public func allToAll<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, plan: ExchangePlan,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    validate(plan, source, destination)
    guard !plan.needsParts else {
      return try startAllToAll(arena: source, into: destination, plan: plan, file: file, line: line).wait()
    }
    try record("MPI_Alltoallv", bytes: plan.send.total * MemoryLayout<E>.stride, file, line) {
      MPI_Alltoallv(
        source.at(0), plan.send.mpiCounts, plan.send.mpiOffsets, E.datatype.handle, destination.at(0),
        plan.receive.mpiCounts, plan.receive.mpiOffsets, E.datatype.handle, handle)
    }
  }

  /// Brings every rank's `source` to the `destination` of `root`, at the places of `layout`, which is the same on every
  /// rank.
  public func gather<E: CollectiveElement>(
    arena source: UnsafeBufferPointer<E>, into destination: UnsafeMutableBufferPointer<E>, layout: Layout, root: Int,
    file: StaticString = #fileID, line: UInt32 = #line
  ) throws(MPIError) {
    try startGather(arena: source, into: destination, layout: layout, root: root, file: file, line: line).wait()
  }
}
