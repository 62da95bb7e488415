import Foundation
import Models
import RunStore
import Support

/// Writes the metrics log, `metrics.jsonl`.
final class MetricsObserver: RunObserver {
  private let path: String
  private var log: MetricsLog

  /// Truncates the file after `step`.
  init(_ directory: RunDirectory, after step: Int) throws {
    path = directory.metrics
    log = try MetricsLog(path: path, resumingAfter: step)
  }

  var files: [AppendedFile] { [log.file] }

  func didStep(_ report: StepReport) throws { try log.append(report.values) }
  func didRollBack(_ report: RollbackReport) throws { try rewind(to: report.toStep) }
  func didRecover(_ report: RecoveryReport) throws { if let step = report.toStep { try rewind(to: step) } }

  private func rewind(to step: Int) throws {
    try log.file.synchronize()
    log = try MetricsLog(path: path, resumingAfter: step)
  }
}

extension StepReport {
  /// Steps between records of the tokens per expert.
  private static let loadInterval = 10

  /// The metrics of a step, by name.
  var values: [(name: String, value: JSONLine)] {
    var values: [(name: String, value: JSONLine)] = [
      ("step", .integer(step)), ("loss", .number(outcome.loss)), ("grad_norm", .number(outcome.gradientNorm)),
      ("learning_rate", .number(outcome.learningRate)), ("tokens_per_second", .number(tokensPerSecond)),
      ("step_seconds", .number(seconds)),
      ("exposed_communication_seconds", .number(outcome.exposedCommunicationSeconds)),
      ("tokens", .integer(allTokens)),
    ]
    if let loss = outcome.auxiliaryLoss { values.append(("auxiliary_loss", .number(loss))) }
    values += loadValues
    if !outcome.isApplied { values.append(("skipped", .boolean(true))) }
    if let validated {
      values.append(("validation_loss", .number(validated.overall)))
      values.append(("validation_perplexity", .number(exp(validated.overall))))
      values.append(("validation_losses", .object(validated.sets.map { ($0.name, .number($0.loss)) })))
    }
    return values
  }

  /// Expert balance: of the worst layer, of each layer, and at intervals of each expert.
  private var loadValues: [(name: String, value: JSONLine)] {
    let layers = outcome.expertLoads.map { ExpertLoad(counts: $0) }
    guard let worst = layers.map(\.largestOverMean).max() else { return [] }
    var values: [(name: String, value: JSONLine)] = [
      ("expert_imbalance", .number(worst)),
      ("expert_imbalance_by_layer", .list(layers.map { .number($0.largestOverMean) })),
      ("expert_entropy_by_layer", .list(layers.map { .number($0.entropy) })),
      ("dead_experts_by_layer", .list(layers.map { .integer($0.unused) })),
    ]
    if step % Self.loadInterval == 0 || step == 1 {
      values.append(("tokens_per_expert", .list(outcome.expertLoads.map { .list($0.map { .integer($0) }) })))
    }
    return values
  }
}
