import Kernels
import MPI
import Models
import Planning
import RunConfiguration
import RunStore
import Support

/// Reports to the run's observers.
extension Trainer {
  /// Opens the run's files, truncates them after the restored step, and reports the start. Collective.
  ///
  /// - Parameter record: of the checkpoint that the run resumes or branches from.
  func begin(continuing record: RunRecord?) throws {
    hosts = try communicator.gather(Array(ProcessTable.hostName.utf8), root: 0).map {
      String(decoding: $0, as: UTF8.self)
    }
    let peak = try PeakShare(backend: state.engine.backend, communicator: communicator)
    guard communicator.isLeader else { return }
    self.peak = peak
    let metrics = try MetricsObserver(directory, after: step)
    let events = try TensorBoardObserver(directory, after: step)
    try progress.open(after: step)
    let settings = RunRecord.settingsHash(configuration)
    let ledger = try StepLedger(
      path: directory.ledger, continuingFrom: record?.ledger,
      settings: record?.continuedSettings == settings ? settings : "", expected: settings, report: note)
    self.ledger = ledger
    observers = RunObservers([
      metrics, events, LedgerObserver(ledger, configuration, directory, note: note), progress,
      outcomeObserver,
    ])
    try directory.write(
      configuration: """
        # The configuration of this run as it was started, with every override.
        # forge-dist \(Version.current), \(KernelFamily.libraryDescription), CPU kernels \(KernelFamily.current)

        """ + configuration.source.yaml())
    try observers.notify { try $0.didStart(startReport(record)) }
  }

  private func startReport(_ record: RunRecord?) -> StartReport {
    let engine = state.engine
    let kernels = configuration.run.kernelFamily == nil ? KernelFamily.advice : nil
    return StartReport(
      step: step, branch: record?.beginsBranch == true ? record?.branch : nil, epoch: lease.record.epoch,
      ranks: communicator.size, threads: engine.backend.team.count, parameters: engine.layout.count,
      shardingPlan: engine.state.shardingPlan,
      memoryBytes: state.baselineBytes + state.memory.bytes, baselineBytes: state.baselineBytes,
      memory: state.memory.description, data: state.found.sources.train.map(\.sha256),
      verifiedChunks: state.found.verifiedChunks, changes: record?.changes ?? [],
      advice: [state.threadAdvice, kernels].compactMap(\.self) + configuration.warnings)
  }

  /// Reports a step.
  ///
  /// - Throws: errors of observers; `ForgeError.badInput` when another job has taken over the run directory, or
  ///   training has diverged.
  func report(_ outcome: StepOutcome, seconds: Double, _ validated: Validation.Loss?) throws {
    try checkLease()
    if communicator.isLeader {
      let tokens = configuration.batch.sequences * configuration.data.sequenceLength
      let operations = configuration.model.trainingOperationsPerToken(length: configuration.data.sequenceLength)
      let report = StepReport(
        step: step, outcome: outcome, seconds: seconds, tokens: tokens,
        allTokens: (state.branch?.tokens ?? 0) + (step - (state.branch?.step ?? 0)) * tokens, validated: validated,
        peakShare: peak?.share(of: operations * Double(tokens) / seconds),
        documents: outcome.isApplied ? [] : state.documents(of: outcome), slowRanks: slowRanks)
      try observers.notify { try $0.didStep(report) }
      if let failure = observers.newFailure() {
        note("step \(step): \(failure); the record is kept in memory until there is room")
      }
    }
    skippedInARow = outcome.isApplied ? 0 : skippedInARow + 1
    guard skippedInARow < Self.maxSkipped else {
      throw ForgeError.badInput(
        "\(Self.maxSkipped) updates in a row were skipped, up to step \(step): training has diverged",
        hint: "lower optimizer.learning_rate or start from an earlier checkpoint", code: .diverged)
    }
  }

  private static let maxSkipped = 20

  private var slowRanks: [SlowRank] {
    let balance = state.trainingStep.balance
    return balance.stragglers.sorted { $0.key < $1.key }.map { place, factor in
      let rank = state.engine.mesh.batch.members[place]
      return SlowRank(
        rank: rank, name: describe(ranks: [rank]), factor: factor,
        hasLess: balance.isAutomatic ? balance.hasLess(place) : nil)
    }
  }

  /// Reports the end of a complete run: peak memory, measured and predicted, and the hash of the weights. Collective.
  func reportEnd() throws {
    let engine = state.engine
    // Without full sharding memory only grows, so resident memory at the end is the peak.
    let peak = max(engine.state.peakResidentBytes, ResidentMemory.bytes())
    var bytes = [Int64(peak), Int64(state.baselineBytes + state.memory.bytes)]
    try bytes.withUnsafeMutableBufferPointer { try communicator.allReduce(arena: $0, .max) }
    let weights = try WeightsDigest.sha256(engine.state)
    let report = EndReport(step: step, weights: weights, peakBytes: Int(bytes[0]), predictedBytes: Int(bytes[1]))
    try observers.notify { try $0.didEnd(report) }
  }

  /// A list of ranks with their hosts: `rank 3 (host node17), …`
  func describe(ranks: [Int]) -> String {
    ranks.map { $0 < hosts.count ? "rank \($0) (host \(hosts[$0]))" : "rank \($0)" }.joined(separator: ", ")
  }

  /// Logs a line on the terminal and in the log file, on rank 0.
  func note(_ sentence: String) { progress.note(sentence) }
}
