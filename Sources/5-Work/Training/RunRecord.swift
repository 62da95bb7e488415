import Checkpoints
import ConfigurationFiles
import Foundation
import Kernels
import ModelFiles
import RunConfiguration
import RunStore
import Support

/// The run metadata of a checkpoint: what is needed to resume, and to reject a resume with incompatible settings.
struct RunRecord {
  var progress: TrainingStep.Progress
  /// The position in the ledger; of the current run on rank 0 only.
  var ledger: StepLedger.Position?
  /// The validation loss of the checkpoint's step; nil when it was not validated.
  var validationLoss: Double?
  /// The identity of the validation sets (``Validation/identity(_:_:)``); nil without validation, and in checkpoints of
  /// older versions.
  var validationSets: String?
  /// The settings hash of the configuration with which the checkpoint was written.
  var continuedSettings: String?
  var configuration: RunConfiguration
  /// The run's branch point; nil for a run that did not branch.
  var branch: Branch?
  /// Whether the run branches at this start.
  var beginsBranch = false
  /// The sources of the run when the checkpoint was written; nil in checkpoints that recorded paths only.
  var sources: RunSources?
  /// The configuration with which the checkpoint was written, as YAML.
  var continuedConfiguration: String?

  static let updatesKey = "updates"
  static let settingsKey = "settings"
  private static let familyKey = "kernel_family"
  private static let lossesKey = "recent_losses"
  private static let skippedKey = "skipped_batches"
  static let configurationKey = "configuration"
  private static let settingsHashKey = "settings_sha256"
  private static let standardOptimizer = "adamw"

  /// Settings that must not change when a run is resumed, because they determine what the next step computes.
  private var settings: [(name: String, value: String)] {
    get throws {
      let data = configuration.data
      return [
        ("run.seed", "\(configuration.run.seed)"), ("batch.sequences", "\(configuration.batch.sequences)"),
        ("batch.micro_batch", "\(configuration.batch.microBatch)"), ("data.sequence_length", "\(data.sequenceLength)"),
        ("optimizer.name", configuration.optimizer.muon == nil ? Self.standardOptimizer : "muon"),
        ("data.shuffle", "\(data.shuffle)"), ("data.document_mask", "\(data.documentMask)"),
      ]
    }
  }

  var metadata: JSONValue {
    get throws {
      .object([
        PretrainedModel.metadataKey: .string(
          String(decoding: configuration.model.huggingFaceJSON(), as: UTF8.self)),
        Self.updatesKey: .integer(progress.updates),
        // As bits, so that a resumed run detects loss spikes alike.
        Self.lossesKey: .array(progress.spikes.losses.map { .string(StepLedger.bits($0)) }),
        Self.skippedKey: .array(progress.skippedBatches.map { .integer($0) }),
        StepLedger.Position.key: ledger?.metadata ?? .null,
        CheckpointFolder.validationLossKey: validationLoss.map { $0.isFinite ? .number($0) : .null } ?? .null,
        CheckpointFolder.validationSetsKey: validationSets.map { .string($0) } ?? .null,
        Self.settingsHashKey: .string(Self.settingsHash(configuration)),
        Self.familyKey: .string(KernelFamily.current.name),
        Self.settingsKey: .object(
          Dictionary(uniqueKeysWithValues: try settings.map { ($0.name, JSONValue.string($0.value)) })),
        Branch.metadataKey: try branch?.metadata ?? .null,
        RunSources.metadataKey: try sources?.metadata ?? .null,
        Self.configurationKey: .string(configuration.source.yaml()),
        "versions": .object([
          "forge": .string(Version.current), "blas": .string(KernelFamily.libraryDescription),
        ]),
      ])
    }
  }

  /// Reads the record of a checkpoint to resume from.
  ///
  /// - Parameter present: the current sources of the run.
  /// - Throws: `ForgeError.badInput` when the run was started with other settings, data or CPU kernels.
  init(_ reader: CheckpointReader, continuing configuration: RunConfiguration, sources present: RunSources) throws {
    self.configuration = configuration
    guard let updates = reader.metadata[Self.updatesKey]?.integer, let recorded = reader.metadata[Self.settingsKey]
    else {
      throw ForgeError.badInput("checkpoint '\(reader.path)' was not written by a training run", code: .wrongKind)
    }
    branch = Branch(reader.metadata)
    progress = TrainingStep.Progress(
      updates: updates,
      spikes: LossSpikeDetector(
        configuration.spikes,
        losses: (reader.metadata[Self.lossesKey]?.array ?? []).compactMap {
          $0.string.flatMap { UInt64($0, radix: 16) }.map(Double.init(bitPattern:))
        }),
      streamStart: branch?.step ?? 0,
      skippedBatches: (reader.metadata[Self.skippedKey]?.array ?? []).compactMap(\.integer))
    ledger = StepLedger.Position(reader.metadata)
    validationLoss = reader.validationLoss
    validationSets = reader.validationSets
    continuedSettings = reader.metadata[Self.settingsHashKey]?.string
    continuedConfiguration = reader.metadata[Self.configurationKey]?.string
    sources = RunSources(reader.metadata)
    if let branchViolation {
      throw branchViolation.error("the run in '\(configuration.run.directory)' ")
    }
    if let violation = try violation(reader.metadata, recorded, present) {
      throw ForgeError.badInput(
        "the run in '\(configuration.run.directory)' \(violation)",
        hint: "restore it, or give the new run another run.directory", code: .dataChanged
      )
    }
    for (name, value) in try settings {
      // Checkpoints of the first version do not record it.
      let before = recorded[name]?.string ?? (name == "optimizer.name" ? Self.standardOptimizer : "nothing")
      guard before != value else { continue }
      throw ForgeError.badInput(
        "the run in '\(configuration.run.directory)' was started with \(name) = \(before), not \(value)",
        hint: "restore the setting, or give the new run another run.directory", code: .runDiffers, keyPath: name)
    }
    let family = reader.metadata[Self.familyKey]?.string ?? ""
    let current = KernelFamily.current.name
    guard family == current || configuration.run.kernelFamily == current else {
      throw ForgeError.badInput(
        "the run in '\(configuration.run.directory)' was computed with the CPU kernels '\(family)' and this machine uses "
          + "'\(current)'",
        hint: "set run.kernel_family to '\(family)' to keep its bits, or to '\(current)' to accept others",
        code: .runDiffers, keyPath: "run.kernel_family")
    }
  }

  /// The hash of all settings that determine what steps compute, so that records of other settings are not compared.
  static func settingsHash(_ configuration: RunConfiguration) -> String {
    let without: Set = ["run", "parallelism", "memory", "checkpoint", "validation", "watchdog"]
    var node = configuration.source
    if case .mapping(let entries) = node.value {
      node = ConfigurationNode(.mapping(entries.filter { !without.contains($0.key) }), at: node.location)
    }
    let run = configuration.run
    return StepLedger.hash("\(run.seed) \(run.steps)\n\(node.yaml())".utf8)
  }

  init(
    progress: TrainingStep.Progress, ledger: StepLedger.Position?, validationLoss: Double?,
    validationSets: String?, configuration: RunConfiguration, sources: RunSources, branch: Branch?
  ) {
    self.progress = progress
    self.ledger = ledger
    self.validationLoss = validationLoss
    self.validationSets = validationSets
    self.configuration = configuration
    self.sources = sources
    self.branch = branch
  }
}
