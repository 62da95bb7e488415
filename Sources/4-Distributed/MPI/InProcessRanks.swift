internal import Support

/// Ranks that are threads of this process, for tests and examples: communicators with the semantics of MPI and without
/// its library.
///
/// Send buffers are copied when an operation starts, and a rank's memory is written by its own threads only, within
/// `wait` or the `isComplete` that returns true. So other ranks never write to the memory of a failed rank. Stricter
/// than MPI: no operation is complete before every rank of the group has started it; it throws when ranks start
/// different operations, or change a send buffer before it is complete. Floating-point numbers are added in the order
/// of ranks.
///
/// Process globals are shared by the ranks: the flight recorder (install none), the kernel family, the launcher's
/// environment, the handlers of signals. All ranks are on one node.
public enum InProcessRanks {
  /// Runs `body` on every rank and returns when all have ended.
  ///
  /// When it throws on a rank, every pending and later operation of the other ranks throws an `MPIError`; so does one
  /// that waits for a rank whose body has returned.
  ///
  /// - Parameters:
  ///   - timeout: max wait of an operation for ranks that neither join nor end; also of a dropped request, which others
  ///     may still complete.
  ///   - body: its argument is the communicator of all ranks. It runs on a thread with a stack as large as a program's.
  /// - Returns: what it returned, by rank.
  /// - Throws: the error that was thrown first; `ForgeError.tryAgain` when the system starts no further thread.
  @discardableResult
  public static func run<Result: Sendable>(
    ranks: Int, timeout: Duration = .seconds(30), _ body: @escaping @Sendable (Communicator) throws -> Result
  ) throws -> [Result] {
    precondition(ranks > 0, "a job has a rank")
    let job = InProcessJob(ranks: ranks, timeout: timeout)
    let world = InProcessGroup(job: job, name: "world", members: Array(0..<ranks))
    let results = Results<Result>()
    var threads: [SystemThread] = []
    for rank in 0..<ranks {
      do throws(ForgeError) {
        threads.append(
          try SystemThread(name: "rank \(rank)") {
            do {
              let transport = ThreadTransport(world, rank: rank)
              let result = try body(Communicator(transport, name: world.name, parent: nil))
              results.keep(result, of: rank)
              job.end(rank)
            } catch {
              job.end(rank, error)
            }
          })
      } catch {
        job.end(rank, error)
      }
    }
    for thread in threads { thread.join() }
    if let error = job.firstError { throw error }
    return results.inOrder
  }
}
