import Diagnostics
import Foundation
import Synchronization

/// Stop requests by signal: SIGUSR1, which `mpirun` forwards and Slurm can send before a time limit, or SIGTERM. The
/// trainer checks ``requested`` before every step, saves a checkpoint after it and ends with exit code 75.
enum StopSignals {
  private static let flag = Atomic<Bool>(false)

  static var requested: Bool { flag.load(ordering: .relaxed) }

  /// Installs the signal handlers; interrupted system calls are restarted.
  static func install() {
    // Initialises the lazy global here: in the handler only the store itself is async-signal-safe.
    flag.store(false, ordering: .relaxed)
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { signal in
      StopSignals.flag.store(true, ordering: .relaxed)
      FlightRecorder.noteSignal(signal)
    }
    action.sa_flags = SA_RESTART
    sigemptyset(&action.sa_mask)
    for signal in [SIGUSR1, SIGTERM] { sigaction(signal, &action, nil) }
  }
}
