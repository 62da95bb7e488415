import RunStore
import Support

/// Hears of what a run does, on rank 0, and leaves it alone: reports are plain values, and nothing that an observer does
/// changes what the run computes. An error that it throws ends the run.
protocol RunObserver: AnyObject {
  /// What it writes; a checkpoint is never ahead of these files.
  var files: [AppendedFile] { get }

  func didStart(_ report: StartReport) throws
  func didStep(_ report: StepReport) throws
  func didSave(_ report: SaveReport) throws
  func didRollBack(_ report: RollbackReport) throws
  func didRecover(_ report: RecoveryReport) throws
  /// The run was asked to stop, and has saved.
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

/// The observers of a run, in the order in which they are told; none on ranks other than 0.
struct RunObservers {
  private let observers: [any RunObserver]
  private var isFailing = false

  init(_ observers: [any RunObserver] = []) { self.observers = observers }

  func notify(_ event: (any RunObserver) throws -> Void) rethrows { for observer in observers { try event(observer) } }

  private var files: [AppendedFile] { observers.flatMap(\.files) }

  /// What makes all that was recorded so far durable, to be called from any thread.
  func synchronization() -> @Sendable () throws -> Void {
    let files = files
    return { for file in files { try file.synchronize() } }
  }

  /// The run directory is another job's: what is not written yet stays so.
  func abandon() { for file in files { file.abandon() } }

  /// Why the disk takes no more, told once each time that it begins to refuse.
  mutating func newFailure() -> ForgeError? {
    let failure = files.lazy.compactMap(\.failure).first
    defer { isFailing = failure != nil }
    return isFailing ? nil : failure
  }
}
