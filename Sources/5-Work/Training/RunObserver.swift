import RunStore
import Support

/// Observer of a run's events, on rank 0. Reports are plain values, so an observer cannot change what the run computes;
/// an error that it throws ends the run.
protocol RunObserver: AnyObject {
  /// The files that it writes, which are synced before a checkpoint is committed.
  var files: [AppendedFile] { get }

  func didStart(_ report: StartReport) throws
  func didStep(_ report: StepReport) throws
  func didSave(_ report: SaveReport) throws
  func didRollBack(_ report: RollbackReport) throws
  func didRecover(_ report: RecoveryReport) throws
  /// The run stops on request, and has saved a checkpoint.
  func didStop(_ report: StopReport) throws
  func didEnd(_ report: EndReport) throws
}

extension RunObserver {
  var files: [AppendedFile] { [] }

  func didStart(_ report: StartReport) throws {}
  func didStep(_ report: StepReport) throws {}
  func didSave(_ report: SaveReport) throws {}
  func didRollBack(_ report: RollbackReport) throws {}
  func didRecover(_ report: RecoveryReport) throws {}
  func didStop(_ report: StopReport) throws {}
  func didEnd(_ report: EndReport) throws {}
}

/// The observers of a run, in the order in which they are notified; none on ranks other than 0.
struct RunObservers {
  private let observers: [any RunObserver]
  private var isFailing = false

  init(_ observers: [any RunObserver] = []) { self.observers = observers }

  func notify(_ event: (any RunObserver) throws -> Void) rethrows { for observer in observers { try event(observer) } }

  private var files: [AppendedFile] { observers.flatMap(\.files) }

  /// A closure that syncs all records so far, callable from any thread.
  func synchronization() -> @Sendable () throws -> Void {
    let files = files
    return { for file in files { try file.synchronize() } }
  }

  /// Discards unwritten records, after another job has taken over the run directory.
  func abandon() { for file in files { file.abandon() } }

  /// The error of a file that can no longer be written, once each time that writing starts to fail.
  mutating func newFailure() -> ForgeError? {
    let failure = files.lazy.compactMap(\.failure).first
    defer { isFailing = failure != nil }
    return isFailing ? nil : failure
  }
}
