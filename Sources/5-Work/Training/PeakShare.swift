import Kernels
import MPI

/// How much of what the cores in use can do a run gets out of them.
final class PeakShare {
  private let backend: Backend
  /// What a core of this rank was seen to do, and the cores of all ranks together, floating-point operations a second.
  private var core: Double
  private var all: Double

  /// Measures all ranks at the same time. Collective.
  ///
  /// - Throws: `MPIError`.
  init(backend: Backend, communicator: Communicator) throws {
    let threads = backend.team.count
    core = backend.corePeak()
    // Threads that share a core have it once.
    let present = threads * max(1, LaunchEnvironment.current.localSize)
    let cores = Double(threads) * Double(min(present, ProcessorAffinity.onlineCores)) / Double(present)
    all = try communicator.allReduce(core * cores, .sum)
    self.backend = backend
  }

  /// - Parameter speed: of a step, floating-point operations a second.
  /// - Returns: 0 to 1. A speed beyond the peak has the peak measured again: cores may have been slower then. nil when it
  ///   is still beyond, as where attention's operations are counted across the documents of a sequence, which are not done.
  func share(of speed: Double) -> Double? {
    if speed > all {
      let again = backend.corePeak()
      if again > core {
        all *= again / core
        core = again
      }
    }
    return all > 0 && speed <= all ? speed / all : nil
  }
}
