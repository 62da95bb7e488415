internal import COpenMPI
import Glibc
internal import Support

/// Decides which of the ranks that failed tells the user, while the others may know nothing of it.
///
/// Only ranks that have failed call this. First they find out whether all ranks failed, which is so for an error in
/// what every rank reads; then rank 0 speaks for all. Otherwise each tells the ranks above it, and the lowest speaks.
/// Nothing here waits for a rank that has not failed, and nothing waits long: the job has to end within seconds.
struct FailureConsensus {
  struct Verdict {
    /// Whether this rank prints the sentence and ends the job.
    let reports: Bool
    /// Whether the sentence should say which rank failed.
    let namesRank: Bool
    let exitCode: Int32
  }

  /// How long a rank waits for all others to fail as well, and then for lower ranks to claim the word.
  private static let timeout: (everybody: Double, lowerRanks: Double) = (0.5, 0.2)

  // Messages of its own, so that collectives left unfinished elsewhere cannot be mistaken for them.
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

  /// What all ranks agree on if all have failed: then a reduction over all of them completes.
  private func verdictOfAll(_ description: String, exitCode: Int32) -> Verdict? {
    let hash = FNV1a.hash(description.utf8)
    let mine = [hash, ~hash, UInt64(exitCode)]
    // Never given back: if the reduction stays incomplete, the job ends with MPI still pointing at it.
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
    // The largest hash and the smallest, which is the complement of the largest complement, are one: all say the same.
    let isSame = largest[0] == ~largest[1]
    return Verdict(reports: communicator.rank == 0, namesRank: !isSame, exitCode: isSame ? exitCode : Int32(largest[2]))
  }

  /// Tells the ranks above that this one failed, and listens whether one below has.
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

  /// Asks `condition` every millisecond until it holds or the time is over; returns whether it held.
  private func poll(for seconds: Double, until condition: () -> Bool) -> Bool {
    let end = ContinuousClock.now + .seconds(seconds)
    while !condition() {
      guard ContinuousClock.now < end else { return false }
      usleep(1000)
    }
    return true
  }
}
