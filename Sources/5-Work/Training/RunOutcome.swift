import Support

/// The result of a run, or of the part of it since its last start, as `forge-dist --json` prints it at the end.
public struct RunOutcome: Sendable {
  /// The exit reason.
  public enum Reason: String, Sendable {
    /// All steps are done.
    case complete
    /// The run stopped on request; the same command resumes it.
    case stopped
  }

  public let name: String
  public let directory: String
  /// The number of completed steps.
  public var step = 0
  /// The training loss of the last step since the start, nats per token; nil without one.
  public var loss: Double?
  /// The last validation loss since the start; nil without a validation.
  public var validationLoss: Double?
  /// The SHA-256 hash of the final weights; nil if the run stopped before its end.
  public var weights: String?
  public var reason = Reason.complete

  public var json: JSONLine {
    .object([
      ("run", .string(name)), ("directory", .string(directory)), ("step", .integer(step)), ("loss", .optional(loss)),
      ("validation_loss", .optional(validationLoss)), ("weights_sha256", .optional(weights)),
      ("exit_reason", .string(reason.rawValue)),
    ])
  }
}

/// Records the result of a run from the trainer's reports.
final class OutcomeObserver: RunObserver {
  private(set) var outcome: RunOutcome

  init(name: String, directory: String) { outcome = RunOutcome(name: name, directory: directory) }

  func didStart(_ report: StartReport) { outcome.step = report.step }

  func didStep(_ report: StepReport) {
    outcome.step = report.step
    outcome.loss = report.outcome.loss
    if let validated = report.validated { outcome.validationLoss = validated.overall }
  }

  func didStop(_ report: StopReport) { (outcome.step, outcome.reason) = (report.step, .stopped) }

  func didEnd(_ report: EndReport) { (outcome.step, outcome.weights) = (report.step, report.weights) }
}
