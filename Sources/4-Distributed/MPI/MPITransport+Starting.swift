internal import COpenMPI
internal import Support

// The nonblocking collectives of MPI, and how operations too large for MPI's 32-bit counts are split into parts.

extension MPITransport {
  func start(_ collective: Collective, limit: Int, _ operation: Operation) throws(MPIError) -> any PendingOperation {
    let calls = PendingCalls(for: collective)
    if collective.needsParts(limit: limit, ranks: size) {
      try startParts(collective, limit: limit, calls)
    } else {
      try startWhole(collective, operation, calls)
    }
    return calls
  }

  private func startWhole(
    _ collective: Collective, _ operation: Operation, _ calls: PendingCalls
  ) throws(MPIError) {
    try calls.add(operation.call) { request in
      switch collective {
      case .barrier: MPI_Ibarrier(handle, request)
      case .allReduce(let source, let destination, let count, let datatype, let reduction):
        MPI_Iallreduce(
          source ?? UnsafeRawPointer(forge_mpi_in_place()), destination, Int32(count), datatype.handle,
          reduction.handle, handle, request)
      case .reduceScatter(let source, let destination, let block, let datatype, let reduction):
        MPI_Ireduce_scatter_block(
          source, destination, Int32(block), datatype.handle, reduction.handle, handle, request)
      case .broadcast(let buffer, let count, let datatype, let root):
        MPI_Ibcast(buffer, Int32(count), datatype.handle, Int32(root), handle, request)
      case .allGather(let buffer, let layout, let datatype):
        MPI_Iallgatherv(
          forge_mpi_in_place(), 0, datatype.handle, buffer, layout.mpiCounts, layout.mpiOffsets, datatype.handle,
          handle, request)
      case .allToAll(let source, let destination, let block, let datatype):
        MPI_Ialltoall(
          source, Int32(block), datatype.handle, destination, Int32(block), datatype.handle, handle, request)
      case .exchange(let source, let destination, let plan, let datatype):
        MPI_Ialltoallv(
          source, plan.send.mpiCounts, plan.send.mpiOffsets, datatype.handle, destination, plan.receive.mpiCounts,
          plan.receive.mpiOffsets, datatype.handle, handle, request)
      case .gather(let source, let destination, let layout, let datatype, let root):
        MPI_Igatherv(
          source, Int32(layout.counts[rank]), datatype.handle, destination, layout.mpiCounts, layout.mpiOffsets,
          datatype.handle, Int32(root), handle, request)
      }
    }
  }

  private func startParts(_ collective: Collective, limit: Int, _ calls: PendingCalls) throws(MPIError) {
    switch collective {
    case .barrier: preconditionFailure("a barrier has no parts")
    case .allReduce(let source, let destination, let count, let datatype, let reduction):
      for part in parts(of: count, limit) {
        let from = source?.advanced(by: part.lowerBound * datatype.stride) ?? UnsafeRawPointer(forge_mpi_in_place())
        let into = destination?.advanced(by: part.lowerBound * datatype.stride)
        try calls.add("MPI_Iallreduce") {
          MPI_Iallreduce(from, into, Int32(part.count), datatype.handle, reduction.handle, handle, $0)
        }
      }
    case .reduceScatter(let source, let destination, let block, let datatype, let reduction):
      for root in 0..<size {
        for part in parts(of: block, limit) {
          let from = source?.advanced(by: (root * block + part.lowerBound) * datatype.stride)
          let into = destination?.advanced(by: part.lowerBound * datatype.stride)
          try calls.add("MPI_Ireduce") {
            MPI_Ireduce(
              from, into, Int32(part.count), datatype.handle, reduction.handle, Int32(root), handle, $0)
          }
        }
      }
    case .broadcast(let buffer, let count, let datatype, let root):
      try startBroadcast(buffer, count, datatype, root: root, limit, calls)
    case .allGather(let buffer, let layout, let datatype):
      for root in 0..<size where layout.counts[root] > 0 {
        let own = buffer?.advanced(by: layout.offsets[root] * datatype.stride)
        try startBroadcast(own, layout.counts[root], datatype, root: root, limit, calls)
      }
    case .allToAll(let source, let destination, let block, let datatype):
      let blocks = RankCounts(contiguous: .init(repeating: block, count: size))
      try startPairwise(source, blocks, into: destination, blocks, datatype, limit, calls)
    case .exchange(let source, let destination, let plan, let datatype):
      try startPairwise(source, plan.send, into: destination, plan.receive, datatype, limit, calls)
    case .gather(let source, let destination, let layout, let datatype, let root):
      let none = RankCounts(contiguous: .init(repeating: 0, count: size))
      var send = none.counts
      send[root] = layout.counts[rank]
      try startPairwise(
        source, RankCounts(contiguous: send), into: destination, rank == root ? layout : none, datatype, limit, calls)
    }
  }

  /// Splits `0..<count` into ranges of up to `limit`; one empty range for a count of 0, so that every rank makes the
  /// same number of calls.
  private func parts(of count: Int, _ limit: Int) -> [Range<Int>] {
    guard count > limit else { return [0..<count] }
    return stride(from: 0, to: count, by: limit).map { $0..<min($0 + limit, count) }
  }

  private func startBroadcast(
    _ buffer: UnsafeMutableRawPointer?, _ count: Int, _ datatype: Datatype, root: Int, _ limit: Int,
    _ calls: PendingCalls
  ) throws(MPIError) {
    for part in parts(of: count, limit) {
      let values = buffer?.advanced(by: part.lowerBound * datatype.stride)
      try calls.add("MPI_Ibcast") {
        MPI_Ibcast(values, Int32(part.count), datatype.handle, Int32(root), handle, $0)
      }
    }
  }

  /// Starts a send and a receive for every pair of ranks, in as many parts as their counts need.
  ///
  /// MPI messages between two ranks do not overtake each other, so parts of several operations match in order.
  private func startPairwise(
    _ source: UnsafeRawPointer?, _ send: RankCounts, into destination: UnsafeMutableRawPointer?, _ receive: RankCounts,
    _ datatype: Datatype, _ limit: Int, _ calls: PendingCalls
  ) throws(MPIError) {
    let tag: Int32 = 0
    for distance in 0..<size {
      let sender = (rank - distance + size) % size
      for part in parts(of: receive.counts[sender], limit) where !part.isEmpty {
        let into = destination?.advanced(by: (receive.offsets[sender] + part.lowerBound) * datatype.stride)
        try calls.add("MPI_Irecv") {
          MPI_Irecv(into, Int32(part.count), datatype.handle, Int32(sender), tag, handle, $0)
        }
      }
      let receiver = (rank + distance) % size
      for part in parts(of: send.counts[receiver], limit) where !part.isEmpty {
        let from = source?.advanced(by: (send.offsets[receiver] + part.lowerBound) * datatype.stride)
        try calls.add("MPI_Isend") {
          MPI_Isend(from, Int32(part.count), datatype.handle, Int32(receiver), tag, handle, $0)
        }
      }
    }
  }
}

/// The MPI requests of one pending operation.
private final class PendingCalls: PendingOperation {
  // Nearly always there is one request, which needs no array.
  private var only: MPI_Request? = forge_mpi_request_null()
  private var several: [MPI_Request?] = []
  // Holds the count arrays that MPI reads until the operation is complete.
  private let collective: Collective

  init(for collective: Collective) { self.collective = collective }

  /// Starts one more call.
  func add(_ call: StaticString, _ start: (UnsafeMutablePointer<MPI_Request?>) -> Int32) throws(MPIError) {
    var request: MPI_Request? = forge_mpi_request_null()
    try check(start(&request), call)
    if several.isEmpty {
      if only == forge_mpi_request_null() {
        only = request
        return
      }
      several = [only]
    }
    several.append(request)
  }

  func wait() throws(MPIError) {
    let code =
      several.isEmpty
      ? MPI_Waitall(1, &only, forge_mpi_statuses_ignore())
      : MPI_Waitall(Int32(several.count), &several, forge_mpi_statuses_ignore())
    try check(code, "MPI_Waitall")
  }

  func isComplete() throws(MPIError) -> Bool {
    var flag: Int32 = 0
    let code =
      several.isEmpty
      ? MPI_Testall(1, &only, &flag, forge_mpi_statuses_ignore())
      : MPI_Testall(Int32(several.count), &several, &flag, forge_mpi_statuses_ignore())
    try check(code, "MPI_Testall")
    return flag != 0
  }

  func drop() {
    do {
      try wait()
    } catch {
      // MPI may still access its buffers, which are about to be freed.
      endProcess(.tryAgain("an exchange that was under way could not be completed: \(error)", code: .rankFailed))
    }
  }
}
