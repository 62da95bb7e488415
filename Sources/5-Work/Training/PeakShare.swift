import Kernels
import MPI

/// Model FLOPs utilisation (MFU): a run's share of the measured peak of its cores.
final class PeakShare {
  private let backend: Backend
  /// The measured peak of a core of this rank, and of the cores of all ranks, floating-point operations per second.
  private var core: Double
  private var all: Double

  /// Measures the peak of all ranks concurrently. Collective.
  ///
  /// - Throws: `MPIError`.
  init(backend: Backend, communicator: Communicator) throws {
    let threads = backend.team.count
    core = backend.corePeak()
    // Threads that share a core count it once.
    let present = threads * max(1, LaunchEnvironment.current.localSize)
    let cores = Double(threads) * Double(min(present, ProcessorAffinity.onlineCores)) / Double(present)
    all = try communicator.allReduce(core * cores, .sum)
    self.backend = backend
  }

  /// The utilisation of a step. A speed above the peak triggers a new measurement, because cores may have been slower
  /// in the first.
  ///
  /// - Parameter speed: floating-point operations per second.
  /// - Returns: 0 to 1; nil when the speed is still above the peak, as when attention is counted across documents of a
  ///   sequence, where it is not computed.
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
