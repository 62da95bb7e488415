import ConfigurationFiles
import Foundation
import Models
import Optimizers
import Support

/// The configuration of a run, read from YAML and validated before any work starts.
///
/// Each setting is declared once, by the call that reads it: in `init(_ settings:)` of its section's type.
public struct RunConfiguration: Sendable {
  public var run: Run
  public var model: ModelConfiguration
  /// A Hugging Face folder, a run or a checkpoint with the initial weights; nil for random ones.
  public var pretrained: String?
  public var data: Data
  public var batch: Batch
  public var parallelism: Parallelism
  public var memory: Memory
  public var optimizer: OptimizerSettings
  public var clipNorm: Double?
  public var schedule: LearningRateSchedule
  public var validation: Validation
  public var checkpoint: Checkpoint
  public var spikes: Spikes
  public var watchdog: Watchdog
  /// Warnings to log at the start, such as how the model was read: a sentence each.
  public let warnings: [String]
  /// The configuration as written, with overrides applied.
  public let source: ConfigurationNode

  /// Whether a rank has a staging buffer for asynchronous checkpoints.
  public var usesStagingBuffer: Bool { checkpoint.isAsynchronous && (checkpoint.every > 0 || checkpoint.local != nil) }

  /// - Parameters:
  ///   - path: a YAML file; nil for the built-in quickstart recipe.
  ///   - overrides: `key.path=value`, applied in order.
  /// - Throws: `ForgeError.badInput` with the file and line.
  public static func load(path: String?, overrides: [String]) throws -> RunConfiguration {
    var node =
      if let path { try ConfigurationNode.load(path: path) } else {
        try ConfigurationNode.parse(QuickstartRecipe.yaml, source: "the built-in quickstart recipe")
      }
    for override in overrides { try node.set(override) }
    node = catalog.withText(node)
    return try RunConfiguration(node, recorded: recorded(of: node))
  }

  /// The recorded configuration of a run that is resumed; nil for a new one.
  private static func recorded(of node: ConfigurationNode) throws -> RecordedConfiguration? {
    guard let section = try ConfigurationSection(node).section("run"),
      let directory = try? Run.place(SettingsReader(section)).directory,
      case let run = RunDirectory(path: directory),
      let names = try? FileManager.default.contentsOfDirectory(atPath: run.checkpointsPath),
      names.contains(where: { $0.hasPrefix("step-") })
    else { return nil }
    return (try? ConfigurationNode.load(path: run.configuration)).map(RecordedConfiguration.init)
  }

  /// - Parameter recorded: the configuration that a resumed run was started with.
  public init(_ node: ConfigurationNode, recorded: RecordedConfiguration? = nil) throws {
    let node = Self.catalog.withText(node)
    let root = try ConfigurationSection(node, recorded: recorded)
    try Self.catalog.checkKeys(of: root)
    let sections = try Sections(SettingsReader(root))
    let remarks: [String]
    (model, pretrained, remarks) = try sections.model.configuration(run: sections.run.directory)
    try sections.check(with: model)
    run = sections.run
    data = sections.data
    batch = sections.batch
    parallelism = sections.parallelism
    memory = sections.memory
    optimizer = sections.optimizer.settings
    clipNorm = sections.optimizer.clipNorm
    schedule = sections.schedule
    validation = sections.validation
    checkpoint = sections.checkpoint
    spikes = sections.spikes
    watchdog = sections.watchdog
    warnings = remarks + (recorded?.warnings ?? [])
    source = node
  }
}
