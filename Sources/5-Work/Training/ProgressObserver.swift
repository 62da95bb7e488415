import Foundation
import Kernels
import Models
import Planning
import RunConfiguration
import RunStore
import Sharding
import Support

/// Logs the progress of a run, on rank 0: the progress line and notes, on the terminal and in `train.log`.
final class ProgressObserver: RunObserver {
  private let configuration: RunConfiguration
  private let directory: RunDirectory
  private let isLeader: Bool
  private var line: ProgressLine?
  private var loggedSlow: Set<Int> = []

  init(_ configuration: RunConfiguration, _ directory: RunDirectory, isLeader: Bool) {
    self.configuration = configuration
    self.directory = directory
    self.isLeader = isLeader
  }

  /// Opens the log file, which notes are written to as well from now on.
  ///
  /// - Parameter step: the step after which the run starts or resumes.
  func open(after step: Int) throws {
    line = try ProgressLine(steps: configuration.run.steps, firstStep: step, log: directory.log)
  }

  /// Logs a line on the terminal and in the log file, on rank 0 only.
  func note(_ sentence: String) {
    guard isLeader else { return }
    if let line { line.note(sentence) } else { FileHandle.standardError.write(Data((sentence + "\n").utf8)) }
  }

  func didStart(_ report: StartReport) throws {
    let model = configuration.model
    note(
      "\(configuration.run.name): \(model.family.name), \(String(format: "%.1f M", Double(report.parameters) / 1e6)) "
        + "parameters, \(Self.count(report.ranks, "rank")) × \(Self.count(report.threads, "thread")), CPU kernels "
        + "\(KernelFamily.current)")
    note(Self.layout(report.shardingPlan))
    note(
      "memory a rank: \(MemoryPlan.mebibytes(report.memoryBytes)) predicted (\(report.memory), program "
        + "\(MemoryPlan.mebibytes(report.baselineBytes)))")
    report.advice.forEach(note)
    if let branch = report.branch {
      note(
        "branching off from '\(branch.checkpoint)' after step \(branch.step) of \(configuration.run.steps); the data begin "
          + "at their beginning")
    } else if report.step > 0 {
      note("continuing after step \(report.step) of \(configuration.run.steps)")
    }
    if !report.changes.isEmpty {
      let rest = report.changes.count > 8 ? ", …" : ""
      note("changed since that checkpoint: \(report.changes.prefix(8).joined(separator: ", "))\(rest)")
    }
  }

  /// `each expert group has 4 ranks; optimizer state is sharded over the ranks that hold the same weights`
  private static func layout(_ shardingPlan: ShardingPlan) -> String {
    guard shardingPlan.ranks > 1 else { return "one rank keeps everything" }
    let experts =
      shardingPlan.experts.experts == 0 ? "" : "each expert group has \(count(shardingPlan.experts.degree, "rank")); "
    let sharding =
      switch shardingPlan.stage {
      case .none: "every rank keeps the optimizer state of all that it computes with"
      case .optimizer: "optimizer state is sharded over the ranks that hold the same weights"
      case .full: "parameters, gradients and optimizer state are sharded over the ranks that use them"
      }
    return experts + sharding
  }

  func didStep(_ report: StepReport) throws {
    let outcome = report.outcome
    line?.update(
      step: report.step, loss: outcome.loss, tokensPerSecond: report.tokensPerSecond, peakShare: report.peakShare,
      imbalance: imbalance(outcome.expertLoads))
    if let skipReason = outcome.skipReason { note("step \(report.step): \(skipReason); the update was skipped") }
    if let loss = report.validated {
      let sets = loss.sets.map { "\($0.name) \(Self.rounded($0.loss))" }.joined(separator: ", ")
      note(
        "step \(report.step): validation loss \(Self.rounded(loss.overall)), perplexity "
          + "\(Self.rounded(exp(loss.overall)))" + (loss.sets.count > 1 ? " (\(sets))" : ""))
    }
    log(report.slowRanks)
  }

  /// Max over mean expert load of the worst layer, if it is more than halfway to the worst possible; nil otherwise.
  /// Overloaded experts are slow, and unused ones are not trained.
  private func imbalance(_ counts: [[Int]]) -> Double? {
    guard let experts = configuration.model.experts,
      let worst = counts.map({ ExpertLoad(counts: $0).largestOverMean }).max()
    else { return nil }
    // The maximum, with all tokens on the fewest possible experts, is experts / perToken.
    let most = Double(experts.count) / Double(experts.perToken)
    return worst > 1 + 0.5 * (most - 1) ? worst : nil
  }

  /// Warns about ranks that have become slow, once each time.
  private func log(_ slow: [SlowRank]) {
    for rank in slow where !loggedSlow.contains(rank.rank) {
      let consequence =
        if configuration.parallelism.balance == .even {
          "set parallelism.balance to auto to give it less to do"
        } else if let hasLess = rank.hasLess {
          hasLess ? "it gets fewer micro-batches" : "there are too few micro-batches to give it less"
        } else {
          "its machine may be busy or hot, or its experts the busiest"
        }
      note("\(rank.name) is \(String(format: "%.1f", rank.factor)) times slower than usual; \(consequence)")
    }
    loggedSlow = Set(slow.map(\.rank))
  }

  func didSave(_ report: SaveReport) throws {
    note(
      "step \(report.step): checkpoint saved in \(Self.rounded(report.seconds)) s"
        + (configuration.usesStagingBuffer ? "; training stood still for \(Self.rounded(report.stallSeconds)) s" : ""))
  }

  func didRollBack(_ report: RollbackReport) throws {
    note(
      "step \(report.step): \(report.reason); back to step \(report.toStep), and on without this batch (see "
        + "'\(directory.ledger)')")
  }

  func didRecover(_ report: RecoveryReport) throws {
    note(
      "step \(report.step): \(report.ranks): parameters in memory changed by themselves; they were \(report.how), and the "
        + "step is computed again; have the memory of the machine checked")
  }

  func didStop(_ report: StopReport) throws {
    note("stopped on request after step \(report.step); the same command continues the run")
    line?.finish()
  }

  func didEnd(_ report: EndReport) throws {
    let ratio = Double(report.peakBytes) / Double(report.predictedBytes)
    note(
      "peak memory of a rank: \(MemoryPlan.mebibytes(report.peakBytes)) measured, "
        + "\(MemoryPlan.mebibytes(report.predictedBytes)) predicted (ratio \(Self.rounded(ratio)), mapped files apart)")
    note("final weights SHA-256 \(report.weights)")
    line?.finish()
  }

  /// `1 rank`, `4 ranks`
  private static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

  static func rounded(_ value: Double) -> String { String(format: "%.3f", value) }
}
