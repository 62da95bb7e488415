internal import COpenMPI

/// The MPI transport: ranks that are processes. Here and in `MPITransport+Starting.swift` are all MPI calls of a
/// communicator.
final class MPITransport: Transport {
  let rank: Int
  let size: Int
  let members: [Int]
  // An opaque handle that never changes; with MPI_THREAD_MULTIPLE any thread may use it.
  nonisolated(unsafe) let handle: MPI_Comm
  private let isOwned: Bool

  /// Wraps `handle`, which is freed with this object when `isOwned`.
  ///
  /// - Parameter members: its world ranks; nil to query MPI.
  private init(_ handle: MPI_Comm, isOwned: Bool, members: [Int]?) throws(MPIError) {
    var rank: Int32 = 0
    var size: Int32 = 0
    // Every code is checked; the default handler would end the process.
    try check(MPI_Comm_set_errhandler(handle, forge_mpi_errors_return()), "MPI_Comm_set_errhandler")
    try check(MPI_Comm_rank(handle, &rank), "MPI_Comm_rank")
    try check(MPI_Comm_size(handle, &size), "MPI_Comm_size")
    self.rank = Int(rank)
    self.size = Int(size)
    self.members = if let members { members } else { try Self.members(of: handle, size: size) }
    self.handle = handle
    self.isOwned = isOwned
  }

  deinit {
    var finalized: Int32 = 0
    guard isOwned, MPI_Finalized(&finalized) == MPI_SUCCESS, finalized == 0 else { return }
    var handle: MPI_Comm? = self.handle
    MPI_Comm_free(&handle)  // a deinit cannot throw
  }

  /// All processes of the job. Valid between `MPI_Init` and `MPI_Finalize`.
  static func world() throws(MPIError) -> MPITransport {
    try MPITransport(forge_mpi_comm_world(), isOwned: false, members: nil)
  }

  /// The world ranks of `handle`.
  private static func members(of handle: MPI_Comm, size: Int32) throws(MPIError) -> [Int] {
    var group: MPI_Group?
    var world: MPI_Group?
    try check(MPI_Comm_group(handle, &group), "MPI_Comm_group")
    try check(MPI_Comm_group(forge_mpi_comm_world(), &world), "MPI_Comm_group")
    defer {
      MPI_Group_free(&group)
      MPI_Group_free(&world)
    }
    let own = Array(0..<size)
    var ranks = own
    try check(MPI_Group_translate_ranks(group, size, own, world, &ranks), "MPI_Group_translate_ranks")
    return ranks.map { Int($0) }
  }

  func duplicate(name: String, _ operation: Operation) throws(MPIError) -> any Transport {
    var copy: MPI_Comm?
    try check(MPI_Comm_dup(handle, &copy), operation.call)
    return try MPITransport(copy ?? forge_mpi_comm_null(), isOwned: true, members: members)
  }

  func split(color: Int?, key: Int, name: String, _ operation: Operation) throws(MPIError) -> (any Transport)? {
    let mpiColor = color.map { Int32($0) } ?? forge_mpi_undefined()
    var part: MPI_Comm?
    try check(MPI_Comm_split(handle, mpiColor, Int32(key), &part), operation.call)
    guard color != nil, let part else { return nil }
    return try MPITransport(part, isOwned: true, members: nil)
  }

  func splitByNode(name: String, _ operation: Operation) throws(MPIError) -> any Transport {
    var part: MPI_Comm?
    let kind = Int32(MPI_COMM_TYPE_SHARED)
    try check(MPI_Comm_split_type(handle, kind, 0, forge_mpi_info_null(), &part), operation.call)
    return try MPITransport(part ?? forge_mpi_comm_null(), isOwned: true, members: nil)
  }

  func perform(_ collective: Collective, _ operation: Operation) throws(MPIError) {
    let code: Int32
    switch collective {
    case .barrier: code = MPI_Barrier(handle)
    case .allReduce(let source, let destination, let count, let datatype, let reduction):
      code = MPI_Allreduce(
        source ?? UnsafeRawPointer(forge_mpi_in_place()), destination, Int32(count), datatype.handle, reduction.handle,
        handle)
    case .reduceScatter(let source, let destination, let block, let datatype, let reduction):
      code = MPI_Reduce_scatter_block(
        source, destination, Int32(block), datatype.handle, reduction.handle, handle)
    case .broadcast(let buffer, let count, let datatype, let root):
      code = MPI_Bcast(buffer, Int32(count), datatype.handle, Int32(root), handle)
    case .allGather(let buffer, let layout, let datatype):
      code = MPI_Allgatherv(
        forge_mpi_in_place(), 0, datatype.handle, buffer, layout.mpiCounts, layout.mpiOffsets, datatype.handle, handle)
    case .allToAll(let source, let destination, let block, let datatype):
      code = MPI_Alltoall(
        source, Int32(block), datatype.handle, destination, Int32(block), datatype.handle, handle)
    case .exchange(let source, let destination, let plan, let datatype):
      code = MPI_Alltoallv(
        source, plan.send.mpiCounts, plan.send.mpiOffsets, datatype.handle, destination, plan.receive.mpiCounts,
        plan.receive.mpiOffsets, datatype.handle, handle)
    case .gather: preconditionFailure("a gather is only ever started")
    }
    try check(code, operation.call)
  }
}

extension Datatype {
  var handle: MPI_Datatype {
    switch self {
    case .float: forge_mpi_float()
    case .double: forge_mpi_double()
    case .uint8: forge_mpi_uint8()
    case .int32: forge_mpi_int32()
    case .int64: forge_mpi_int64()
    case .uint64: forge_mpi_uint64()
    }
  }
}

extension Reduction {
  var handle: MPI_Op {
    switch self {
    case .sum: forge_mpi_sum()
    case .max: forge_mpi_max()
    case .min: forge_mpi_min()
    }
  }
}
