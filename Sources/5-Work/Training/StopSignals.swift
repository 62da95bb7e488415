import Diagnostics
import Foundation
import Synchronization

/// Remembers that somebody asked the run to stop: SIGUSR1, which `mpirun` passes on and Slurm sends before a time limit,
/// or SIGTERM. The trainer looks at ``requested`` between two steps, saves a checkpoint and ends with exit code 75.
enum StopSignals {
  private static let flag = Atomic<Bool>(false)

  static var requested: Bool { flag.load(ordering: .relaxed) }

  /// Catches the signals from now on; system calls that they interrupt are resumed.
  static func install() {
    // A global is made on first use; that must not be in the handler, where only the store itself is safe.
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
