import Foundation

/// The layout of a run's directory: what every file in it is called, and nothing of what is in it.
///
/// It stands here, below everything that reads or writes one of them, so that each name is written once. The contents are
/// `RunStore`'s; checkpoints are those of `Checkpoints`, black boxes those of this module.
public struct RunDirectory: Sendable, Equatable {
  public let path: String

  public init(path: String) { self.path = path }

  /// The run that a path means: a run's directory, its `checkpoints` folder, or a checkpoint in that.
  public init(containing path: String) {
    // Absolute, for who stands in such a folder and says `.`.
    let place = URL(filePath: path).standardizedFileURL
    let parent = place.deletingLastPathComponent()
    self.path =
      if place.lastPathComponent == Self.checkpointsName {
        parent.path
      } else if parent.lastPathComponent == Self.checkpointsName {
        parent.deletingLastPathComponent().path
      } else {
        path
      }
  }

  private static let checkpointsName = "checkpoints"

  /// The configuration as it was started, with every override (YAML).
  public var configuration: String { path + "/config.yaml" }
  /// An object for each step (JSON Lines).
  public var metrics: String { path + "/metrics.jsonl" }
  /// What every step computed, in a chain of hashes (JSON Lines).
  public var ledger: String { path + "/ledger.jsonl" }
  /// What the terminal showed.
  public var log: String { path + "/train.log" }
  /// The lease: which job may write here.
  public var lock: String { path + "/.lock" }
  /// What is remembered of data and models that were read.
  public var sources: String { path + "/sources.json" }
  /// The folder of checkpoints.
  public var checkpointsPath: String { "\(path)/\(Self.checkpointsName)" }
  /// The folder of the ranks' black boxes.
  public var blackBoxes: String { path + "/blackbox" }
  /// The folder with the run's copy of its data's tokenizer.
  public var tokenizer: String { path + "/tokenizer" }
  /// The folder with what stood beside the weights that the run began with.
  public var pretrained: String { path + "/pretrained" }
}
