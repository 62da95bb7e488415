import Foundation

/// The layout of a run's directory: the path of every file in it.
///
/// It is in `Support`, below every reader and writer, so that each name is defined once. `RunStore` has the formats of
/// the files, `Checkpoints` that of checkpoints, `Diagnostics` that of black boxes.
public struct RunDirectory: Sendable, Equatable {
  public let path: String

  public init(path: String) { self.path = path }

  /// The run directory of a path: of a run's directory itself, its `checkpoints` folder, or a checkpoint in that.
  public init(containing path: String) {
    // Absolute, so that `.` in such a folder works.
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

  /// The configuration of the run, with every override (YAML).
  public var configuration: String { path + "/config.yaml" }
  /// An object for each step (JSON Lines).
  public var metrics: String { path + "/metrics.jsonl" }
  /// The ledger: the result of every step, in a hash chain (JSON Lines).
  public var ledger: String { path + "/ledger.jsonl" }
  /// A copy of the terminal's output.
  public var log: String { path + "/train.log" }
  /// The lease, which gives one job the right to write here.
  public var lock: String { path + "/.lock" }
  /// The cache of hashes of data and models.
  public var sources: String { path + "/sources.json" }
  /// The folder of checkpoints.
  public var checkpointsPath: String { "\(path)/\(Self.checkpointsName)" }
  /// The folder of the ranks' black boxes.
  public var blackBoxes: String { path + "/blackbox" }
  /// The folder with the run's copy of its data's tokenizer.
  public var tokenizer: String { path + "/tokenizer" }
  /// The folder with the files beside the weights of the pretrained model (`model.from`).
  public var pretrained: String { path + "/pretrained" }
}
