import Configuration
import Diagnostics
import Formats
import Foundation
import Kernels
import Models
import MPI

/// Everything a run says: `metrics.jsonl`, TensorBoard events, the progress line and the log. Rank 0 speaks.
final class RunReporter {
  private let configuration: RunConfiguration
  private let directory: RunDirectory
  private let isLeader: Bool
  private let warning: String?
  private var metrics: MetricsLog?
  private var events: TensorBoardWriter?
  private var progress: ProgressLine?
  /// The measured speed of matrix products on one core, FLOP/s.
  private var peak = 0.0
  private var skippedInARow = 0

  init(_ configuration: RunConfiguration, directory: RunDirectory, isLeader: Bool, warning: String?) {
    self.configuration = configuration
    self.directory = directory
    self.isLeader = isLeader
    self.warning = warning
  }

  /// Opens the files, drops the metrics beyond the step that the run continues from, and introduces the run.
  func begin(_ trainer: Trainer) throws {
    guard isLeader else { return }
    let steps = configuration.run.steps
    metrics = try MetricsLog(path: directory.metrics, resumingAfter: trainer.step)
    events = try TensorBoardWriter(directory: directory.path)
    progress = try ProgressLine(steps: steps, firstStep: trainer.step, log: directory.log)
    try directory.write(configuration: header(trainer) + configuration.source.yaml())
    peak = trainer.decoder.compute.matrixProductPeak() * Double(trainer.communicator.size)
    let model = configuration.model
    let ranks = trainer.communicator.size
    let threads = trainer.decoder.compute.team.count
    note(
      "\(configuration.run.name): \(model.family.rawValue), \(Self.millions(trainer.decoder.layout.count)) "
        + "parameters, \(ranks) rank\(ranks == 1 ? "" : "s") × \(threads) thread\(threads == 1 ? "" : "s"), CPU kernels "
        + "\(KernelFamily.current)")
    note(trainer.memory.description)
    if let warning { note(warning) }
    if trainer.step > 0 { note("continuing after step \(trainer.step) of \(steps)") }
  }

  private func header(_ trainer: Trainer) -> String {
    """
    # The configuration of this run as it was started, with every override.
    # forge-dist \(Version.current), \(KernelFamily.libraryDescription), CPU kernels \(KernelFamily.current)

    """
  }

  /// - Throws: `ForgeError.tryAgain` when a file cannot be written, `badInput` when training has diverged.
  func record(step: Int, _ outcome: StepOutcome, seconds: Double, validationLoss: Double?) throws {
    skippedInARow = outcome.isApplied ? 0 : skippedInARow + 1
    let tokens = configuration.batch.sequences * configuration.data.sequenceLength
    if isLeader {
      var values: [(String, MetricsLog.Value)] = [
        ("step", .integer(step)), ("loss", .number(outcome.loss)), ("grad_norm", .number(outcome.gradientNorm)),
        ("learning_rate", .number(outcome.learningRate)), ("tokens_per_second", .number(Double(tokens) / seconds)),
        ("step_seconds", .number(seconds)), ("tokens", .integer(step * tokens)),
      ]
      if let loss = outcome.auxiliaryLoss { values.append(("auxiliary_loss", .number(loss))) }
      if let imbalance = outcome.expertImbalance { values.append(("expert_imbalance", .number(imbalance))) }
      if !outcome.isApplied { values.append(("skipped", .boolean(true))) }
      if let validationLoss {
        values.append(("validation_loss", .number(validationLoss)))
        values.append(("validation_perplexity", .number(exp(validationLoss))))
      }
      try metrics?.append(values)
      for case (let tag, .number(let value)) in values { events?.add(scalar: Float(value), tag: tag, step: step) }
      if step % 10 == 0 { try events?.flush() }
      let speed = Double(tokens) / seconds
      let operations = configuration.model.trainingOperationsPerToken(length: configuration.data.sequenceLength)
      progress?.update(
        step: step, loss: outcome.loss, tokensPerSecond: speed, peakShare: peak > 0 ? operations * speed / peak : nil)
      if !outcome.isApplied { note("step \(step): a gradient was not finite or too large; the update was skipped") }
      if let validationLoss {
        note(
          "step \(step): validation loss \(Self.rounded(validationLoss)), perplexity \(Self.rounded(exp(validationLoss)))"
        )
      }
    }
    guard skippedInARow < 20 else {
      throw ForgeError.badInput(
        "20 updates in a row were skipped, up to step \(step): training has diverged; lower optimizer.learning_rate or "
          + "start from an earlier checkpoint")
    }
  }

  /// Makes what was recorded durable, so that a checkpoint is never ahead of its metrics.
  func synchronize() throws {
    try metrics?.synchronize()
    try events?.flush()
  }

  func saved(step: Int, seconds: Double) {
    note("step \(step): checkpoint saved in \(Self.rounded(seconds)) s")
  }

  func stopped(step: Int) {
    note("stopped on request after step \(step); the same command continues the run")
    progress?.finish()
  }

  /// The run is complete: peak memory beside the prediction, and the weights' hash. Collective.
  func end(_ trainer: Trainer) throws {
    var peaks = [Int64(MemoryReport.residentBytes()), Int64(trainer.memory.predictedPeak)]
    try peaks.withUnsafeMutableBufferPointer { try trainer.communicator.allReduce(arena: $0, .max) }
    guard isLeader else { return }
    let ratio = Double(peaks[0]) / Double(peaks[1])
    note(
      "peak memory of a rank: \(MemoryReport.mebibytes(Int(peaks[0]))) measured, "
        + "\(MemoryReport.mebibytes(Int(peaks[1]))) predicted (ratio \(Self.rounded(ratio)), mapped files apart)")
    note("final weights SHA-256 \(WeightsDigest.sha256(trainer.parameters.buffer, trainer.decoder.layout))")
    try events?.flush()
    progress?.finish()
  }

  /// A line for people: on the terminal and in the log.
  func note(_ sentence: String) {
    guard isLeader else { return }
    if let progress { progress.note(sentence) } else { FileHandle.standardError.write(Data((sentence + "\n").utf8)) }
  }

  private static func rounded(_ value: Double) -> String { String(format: "%.3f", value) }
  private static func millions(_ count: Int) -> String { String(format: "%.1f M", Double(count) / 1e6) }
}
