internal import COpenMPI
import Glibc
internal import Support

/// Consensus among failed ranks on which of them prints the error, without the ranks that have not failed.
///
/// Only failed ranks call `settle`. An all-reduce completes if all ranks have failed, as with an error in an input that
/// every rank reads; then rank 0 prints. Otherwise each failed rank sends to the higher ranks, and the lowest one
/// prints. Every wait has a timeout below a second, because the job has to end within seconds.
struct FailureConsensus {
  struct Verdict {
    /// Whether this rank prints the sentence and ends the job.
    let reports: Bool
    /// Whether the sentence names the rank.
    let namesRank: Bool
    let exitCode: Int32
  }

  /// Timeouts in seconds: for all other ranks to fail as well, and then for messages of lower ranks.
  private static let timeout: (everybody: Double, lowerRanks: Double) = (0.5, 0.2)

  // A duplicate, so that messages of unfinished collectives elsewhere cannot match.
  private let communicator: Communicator
  private let handle: MPI_Comm

  /// - Parameter world: all processes of the job.
  init(world: Communicator) throws(MPIError) {
    communicator = try world.duplicate(name: "failures")
    guard let transport = communicator.transport as? MPITransport else {
      preconditionFailure("a launched job's ranks are processes")
    }
    handle = transport.handle
  }

  func settle(_ description: String, exitCode: Int32) -> Verdict {
    if communicator.size == 1 { return Verdict(reports: true, namesRank: false, exitCode: exitCode) }
    if let verdict = verdictOfAll(description, exitCode: exitCode) { return verdict }
    return Verdict(reports: !lowerRankHasFailed(), namesRank: true, exitCode: exitCode)
  }

  /// The verdict when all ranks have failed, which is when an all-reduce completes; nil otherwise.
  private func verdictOfAll(_ description: String, exitCode: Int32) -> Verdict? {
    let hash = FNV1a.hash(description.utf8)
    let mine = [hash, ~hash, UInt64(exitCode)]
    // Never freed: if the reduction stays incomplete, MPI refers to it until the job ends.
    let largest = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: mine.count)
    _ = largest.initialize(from: mine)
    var request: MPI_Request?
    let started = MPI_Iallreduce(
      forge_mpi_in_place(), largest.baseAddress, Int32(mine.count), forge_mpi_uint64(), forge_mpi_max(),
      handle, &request)
    guard started == MPI_SUCCESS else { return nil }
    let everybodyFailed = poll(for: Self.timeout.everybody) {
      var flag: Int32 = 0
      return MPI_Test(&request, &flag, forge_mpi_status_ignore()) == MPI_SUCCESS && flag != 0
    }
    guard everybodyFailed else { return nil }
    // The max hash equals the min hash, which is the complement of the max complement: all errors are the same.
    let isSame = largest[0] == ~largest[1]
    return Verdict(reports: communicator.rank == 0, namesRank: !isSame, exitCode: isSame ? exitCode : Int32(largest[2]))
  }

  /// Sends to the higher ranks that this one has failed, and polls for such a message from a lower one.
  private func lowerRankHasFailed() -> Bool {
    for rank in communicator.rank + 1..<max(communicator.rank + 1, communicator.size) {
      var request: MPI_Request?
      MPI_Isend(nil, 0, forge_mpi_uint8(), Int32(rank), 0, handle, &request)
    }
    return poll(for: Self.timeout.lowerRanks) {
      var flag: Int32 = 0
      let probed = MPI_Iprobe(MPI_ANY_SOURCE, 0, handle, &flag, forge_mpi_status_ignore())
      return probed == MPI_SUCCESS && flag != 0
    }
  }

  /// Polls `condition` every millisecond until it holds or the timeout expires; returns whether it held.
  private func poll(for seconds: Double, until condition: () -> Bool) -> Bool {
    let end = ContinuousClock.now + .seconds(seconds)
    while !condition() {
      guard ContinuousClock.now < end else { return false }
      usleep(1000)
    }
    return true
  }
}
