import RunStore
import Support

/// Writes the floating-point metrics of `metrics.jsonl` as TensorBoard scalars.
final class TensorBoardObserver: RunObserver {
  private let directory: RunDirectory
  private var log: EventLog

  /// Truncates the run's event files after `step`.
  init(_ directory: RunDirectory, after step: Int) throws {
    self.directory = directory
    log = try EventLog(directory, resumingAfter: step)
  }

  var files: [AppendedFile] { [log.file] }

  func didStep(_ report: StepReport) throws {
    let scalars: [(tag: String, value: Float)] = report.values.compactMap { name, value in
      if case .number(let number) = value { (name, Float(number)) } else { nil }
    }
    let sets = report.validated?.sets.map { (tag: "validation_loss/\($0.name)", value: Float($0.loss)) } ?? []
    try log.append(step: report.step, scalars + sets)
  }

  func didRollBack(_ report: RollbackReport) throws { try rewind(to: report.toStep) }
  func didRecover(_ report: RecoveryReport) throws { if let step = report.toStep { try rewind(to: step) } }

  private func rewind(to step: Int) throws {
    try log.file.synchronize()
    log = try EventLog(directory, resumingAfter: step)
  }
}
