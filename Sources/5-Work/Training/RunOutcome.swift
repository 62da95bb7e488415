import Support

/// What came of a run, or of the part of it that one start did: what `forge-dist --json` prints at the end.
public struct RunOutcome: Sendable {
  public enum Reason: String, Sendable {
    /// The last step is done.
    case complete
    /// The run was asked to stop, and goes on when it is started again.
    case stopped
  }

  public let name: String
  public let directory: String
  /// Steps done.
  public var step = 0
  /// Of the last step of this start, nats per token; nil when there was none.
  public var loss: Double?
  /// The last of this start; nil when nothing was validated.
  public var validationLoss: Double?
  /// SHA-256 of the final weights; nil when the run was stopped before its end.
  public var weights: String?
  public var reason = Reason.complete

  public var json: JSONLine {
    func number(_ value: Double?) -> JSONLine { value.map { .number($0) } ?? .null }
    return .object([
      ("run", .string(name)), ("directory", .string(directory)), ("step", .integer(step)), ("loss", number(loss)),
      ("validation_loss", number(validationLoss)), ("weights_sha256", weights.map { .string($0) } ?? .null),
      ("exit_reason", .string(reason.rawValue)),
    ])
  }
}

/// Notes what comes of a run.
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
