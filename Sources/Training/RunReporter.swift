import Configuration
import Diagnostics
import Formats
import Foundation
import Kernels
import MPI
import Models
import Placement
import Planning
import Settings

/// Everything a run says: `metrics.jsonl`, the ledger, TensorBoard events, the progress line and the log. Rank 0 speaks.
final class RunReporter {
  let configuration: RunConfiguration
  let directory: RunDirectory
  private let isLeader: Bool
  private let warnings: [String]
  private var metrics: MetricsLog?
  private var events: TensorBoardWriter?
  private var progress: ProgressLine?
  private var peak: PeakShare?
  private var skippedInARow = 0
  /// The ranks' hosts; known to the leader.
  var hosts: [String] = []
  /// Opened at the start; rank 0 has it.
  var ledger: StepLedger?
  var toldDifference = false
  private var toldOfDisk = false
  private var toldStragglers: Set<Int> = []

  init(_ configuration: RunConfiguration, directory: RunDirectory, isLeader: Bool, warnings: [String]) {
    self.configuration = configuration
    self.directory = directory
    self.isLeader = isLeader
    self.warnings = warnings
  }

  /// Opens the files, drops the metrics beyond the step that the run continues from, and introduces the run.
  ///
  /// - Parameter record: of the checkpoint that the run continues from.
  func begin(_ trainer: Trainer, continuing record: RunRecord?) throws {
    hosts = try trainer.communicator.gather(Array(Launcher.hostName.utf8), root: 0).map {
      String(decoding: $0, as: UTF8.self)
    }
    let peak = try PeakShare(compute: trainer.state.engine.compute, communicator: trainer.communicator)
    guard isLeader else { return }
    self.peak = peak
    let steps = configuration.run.steps
    metrics = try MetricsLog(path: directory.metrics, resumingAfter: trainer.step)
    events = try TensorBoardWriter(directory: directory.path)
    progress = try ProgressLine(steps: steps, firstStep: trainer.step, log: directory.log)
    try openLedger(trainer, continuing: record)
    try directory.write(configuration: header(trainer) + configuration.source.yaml())
    let model = configuration.model
    let ranks = trainer.communicator.size
    let threads = trainer.state.engine.compute.team.count
    note(
      "\(configuration.run.name): \(model.family.name), \(Self.millions(trainer.state.engine.layout.count)) "
        + "parameters, \(ranks) rank\(ranks == 1 ? "" : "s") × \(threads) thread\(threads == 1 ? "" : "s"), CPU kernels "
        + "\(KernelFamily.current)")
    note(layoutSentence(trainer.state.engine.state.placement))
    note(
      "memory a rank: \(MemoryPlan.mebibytes(trainer.state.baselineBytes + trainer.state.memory.bytes)) predicted "
        + "(\(trainer.state.memory.description), program \(MemoryPlan.mebibytes(trainer.state.baselineBytes)))")
    if let advice = trainer.state.threadAdvice { note(advice) }
    warnings.forEach(note)
    if trainer.step > 0 { note("continuing after step \(trainer.step) of \(steps)") }
    if let changes = record?.changes, !changes.isEmpty {
      let rest = changes.count > 8 ? ", …" : ""
      note("changed since that checkpoint: \(changes.prefix(8).joined(separator: ", "))\(rest)")
    }
  }

  /// `each expert group has 4 ranks; optimizer state is sharded over those that hold the same weights`
  private func layoutSentence(_ placement: StatePlacement) -> String {
    guard placement.ranks > 1 else { return "one rank keeps everything" }
    let experts =
      placement.experts.experts == 0
      ? "" : "each expert group has \(placement.experts.degree) rank\(placement.experts.degree == 1 ? "" : "s"); "
    let sharding =
      switch placement.sharding {
      case .none: "every rank keeps the optimizer state of all that it computes with"
      case .optimizer: "optimizer state is sharded over the ranks that hold the same weights"
      case .full: "parameters, gradients and optimizer state are sharded over the ranks that use them"
      }
    return experts + sharding
  }

  private func header(_ trainer: Trainer) -> String {
    """
    # The configuration of this run as it was started, with every override.
    # forge-dist \(Version.current), \(KernelFamily.libraryDescription), CPU kernels \(KernelFamily.current)

    """
  }

  /// - Throws: `ForgeError.tryAgain` when a file cannot be written, `badInput` when training has diverged.
  ///
  /// - Parameter documents: of the step's batch, for a step that was skipped.
  func record(
    step: Int, _ outcome: StepOutcome, seconds: Double, validationLoss: Double?, documents: () -> [String]
  ) throws {
    skippedInARow = outcome.isApplied ? 0 : skippedInARow + 1
    let tokens = configuration.batch.sequences * configuration.data.sequenceLength
    if isLeader {
      var values: [(String, MetricsLog.Value)] = [
        ("step", .integer(step)), ("loss", .number(outcome.loss)), ("grad_norm", .number(outcome.gradientNorm)),
        ("learning_rate", .number(outcome.learningRate)), ("tokens_per_second", .number(Double(tokens) / seconds)),
        ("step_seconds", .number(seconds)), ("exposed_communication_seconds", .number(outcome.exposedSeconds)),
        ("tokens", .integer(step * tokens)),
      ]
      if let loss = outcome.auxiliaryLoss { values.append(("auxiliary_loss", .number(loss))) }
      values += loadValues(outcome.expertLoads, isDetailed: step % Self.loadInterval == 0 || step == 1)
      if !outcome.isApplied { values.append(("skipped", .boolean(true))) }
      if let validationLoss {
        values.append(("validation_loss", .number(validationLoss)))
        values.append(("validation_perplexity", .number(exp(validationLoss))))
      }
      try metrics?.append(values)
      for case (let tag, .number(let value)) in values { events?.add(scalar: Float(value), tag: tag, step: step) }
      if step % 10 == 0 { try? events?.flush() }  // what is not written is kept
      tellOfDisk(step: step)
      let speed = Double(tokens) / seconds
      let operations = configuration.model.trainingOperationsPerToken(length: configuration.data.sequenceLength)
      progress?.update(
        step: step, loss: outcome.loss, tokensPerSecond: speed, peakShare: peak?.share(of: operations * speed),
        imbalance: imbalance(outcome.expertLoads))
      try enterLedger(step: step, outcome)
      if !outcome.isApplied { try skipped(step: step, outcome, documents: documents()) }
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

  /// Names ranks that have become slow, once each time.
  ///
  /// - Parameter ranks: of the job, by their places in the balance.
  func tell(_ balance: SpeedBalance, ranks: [Int]) {
    guard isLeader else { return }
    for (rank, factor) in balance.stragglers.sorted(by: { $0.key < $1.key }) where !toldStragglers.contains(rank) {
      let consequence =
        if configuration.parallelism.balance == .even {
          "set parallelism.balance to auto to give it less to do"
        } else if !balance.isAutomatic {
          "its machine may be busy or hot, or its experts the busiest"
        } else {
          balance.hasLess(rank) ? "it gets fewer micro-batches" : "there are too few micro-batches to give it less"
        }
      note(
        "\(describe(ranks: [ranks[rank]])) is \(String(format: "%.1f", factor)) times slower than usual; \(consequence)"
      )
    }
    toldStragglers = Set(balance.stragglers.keys)
  }

  /// What makes all that was recorded so far durable, to be called from any thread; a checkpoint must not be ahead of its
  /// metrics.
  func synchronization() -> @Sendable () throws -> Void {
    try? events?.flush()
    let files = [metrics?.file, ledger?.file].compactMap(\.self)
    return { for file in files { try file.synchronize() } }
  }

  /// The run directory is another job's: what is not written yet stays so.
  func abandon() {
    events?.abandon()
    metrics?.file.abandon()
    ledger?.file.abandon()
  }

  /// Tells once that the disk takes no more.
  private func tellOfDisk(step: Int) {
    let failure = metrics?.file.failure ?? ledger?.file.failure
    if let failure, !toldOfDisk { note("step \(step): \(failure); the record is kept in memory until there is room") }
    toldOfDisk = failure != nil
  }

  /// Drops what the metrics hold beyond a step to which the run has gone back.
  func rewind(to step: Int) throws {
    guard isLeader else { return }
    try metrics?.file.synchronize()
    metrics = nil
    metrics = try MetricsLog(path: directory.metrics, resumingAfter: step)
  }

  func stopped(step: Int) {
    note("stopped on request after step \(step); the same command continues the run")
    progress?.finish()
  }

  /// The run is complete: peak memory beside the prediction, and the weights' hash. Collective.
  func end(_ trainer: Trainer) throws {
    let state = trainer.state.engine.state
    // Without full sharding memory only grows, so what is resident at the end is the peak.
    let peak = max(state.peakResidentBytes, ResidentMemory.bytes())
    var peaks = [Int64(peak), Int64(trainer.state.baselineBytes + trainer.state.memory.bytes)]
    try peaks.withUnsafeMutableBufferPointer { try trainer.communicator.allReduce(arena: $0, .max) }
    let digest = try WeightsDigest.sha256(state)
    guard isLeader else { return }
    let ratio = Double(peaks[0]) / Double(peaks[1])
    note(
      "peak memory of a rank: \(MemoryPlan.mebibytes(Int(peaks[0]))) measured, "
        + "\(MemoryPlan.mebibytes(Int(peaks[1]))) predicted (ratio \(Self.rounded(ratio)), mapped files apart)")
    note("final weights SHA-256 \(digest)")
    try ledger?.append("end", [("step", .integer(trainer.step)), ("weights_sha256", .string(digest))])
    try? events?.flush()
    progress?.finish()
  }

  /// A line for people: on the terminal and in the log.
  func note(_ sentence: String) {
    guard isLeader else { return }
    if let progress { progress.note(sentence) } else { FileHandle.standardError.write(Data((sentence + "\n").utf8)) }
  }

  /// The worst layer's largest over mean load, once it is worth a look: experts that get several times their share are
  /// slow, and those without any learn nothing.
  private func imbalance(_ counts: [[Int]]) -> Double? {
    guard let experts = configuration.model.experts,
      let worst = counts.map({ ExpertLoad(counts: $0).largestOverMean }).max()
    else { return nil }
    // All tokens on the fewest possible experts is experts / perToken.
    let most = Double(experts.count) / Double(experts.perToken)
    return worst > 1 + 0.5 * (most - 1) ? worst : nil
  }

  /// Every so many steps the tokens of every single expert are recorded too.
  private static let loadInterval = 10

  /// How evenly the experts were used: the worst layer, each layer, and sometimes each expert.
  private func loadValues(_ counts: [[Int]], isDetailed: Bool) -> [(String, MetricsLog.Value)] {
    let layers = counts.map { ExpertLoad(counts: $0) }
    guard let worst = layers.map(\.largestOverMean).max() else { return [] }
    var values: [(String, MetricsLog.Value)] = [
      ("expert_imbalance", .number(worst)),
      ("expert_imbalance_by_layer", .list(layers.map { .number($0.largestOverMean) })),
      ("expert_entropy_by_layer", .list(layers.map { .number($0.entropy) })),
      ("dead_experts_by_layer", .list(layers.map { .integer($0.unused) })),
    ]
    if isDetailed {
      values.append(("tokens_per_expert", .list(counts.map { .list($0.map { .integer($0) }) })))
    }
    return values
  }

  static func rounded(_ value: Double) -> String { String(format: "%.3f", value) }
  private static func millions(_ count: Int) -> String { String(format: "%.1f M", Double(count) / 1e6) }
}
