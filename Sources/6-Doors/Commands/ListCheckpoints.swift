import Checkpoints
import Foundation
import Support

/// A request to list a run's checkpoints. It validates manifests and file lengths, not file contents.
public struct ListCheckpoints: Command {
  /// A run directory or its checkpoints folder.
  public var directory: String

  public init(directory: String) { self.directory = directory }

  public func run(_ sinks: CommandSinks) throws -> CheckpointList {
    let folder = try CheckpointFolder.all(at: directory)
    return CheckpointList(
      folder: folder.path, checkpoints: folder.summaries(), latestStep: folder.latestStep,
      leftovers: folder.leftovers())
  }
}

extension CheckpointFolder {
  /// The folder with all checkpoints of a run.
  ///
  /// - Throws: `ForgeError.badInput` when the path is a single checkpoint, or has no checkpoints.
  static func all(at path: String) throws -> CheckpointFolder {
    guard case .all(let folder) = try CheckpointLocation(path: path) else {
      throw ForgeError.badInput("'\(path)' is one checkpoint", hint: "name the run", code: .wrongKind)
    }
    return folder
  }
}

/// The checkpoints of a run, and the leftovers of interrupted saves beside them.
public struct CheckpointList: CommandResult {
  public let folder: String
  public let checkpoints: [CheckpointSummary]
  /// The step that `latest` names; nil when there is no `latest` or it is damaged.
  public let latestStep: Int?
  /// The names of partial files of saves and deletions that are in progress or were interrupted.
  public let leftovers: [String]

  /// The step with the lowest validation loss, among those with the newest's validation sets; nil without any.
  public var bestStep: Int? {
    let validated = checkpoints.filter { $0.validationLoss != nil }
    return validated.filter { $0.validationSets == validated.last?.validationSets }
      .min { ($0.validationLoss ?? 0, $0.step) < ($1.validationLoss ?? 0, $1.step) }?.step
  }

  /// The problems found, a sentence each.
  public var problems: [String] {
    var problems = checkpoints.compactMap(\.problem)
    problems += leftovers.map {
      "\($0): a save or deletion under way, or interrupted; the next save or prune clears it away"
    }
    if let latestStep, !checkpoints.contains(where: { $0.step == latestStep }) {
      problems.append("'\(folder)/latest' names step \(latestStep), which is not there")
    }
    return problems
  }

  public var text: String {
    let format = DateFormatter()
    format.locale = Locale(identifier: "en_US_POSIX")
    format.dateFormat = "yyyy-MM-dd HH:mm:ss"
    var table = TextTable(header: ["step", "saved", "size", "of raw", "validation loss", ""])
    let bestStep = bestStep
    for checkpoint in checkpoints {
      var marks: [String] = []
      if checkpoint.step == latestStep { marks.append("latest") }
      if checkpoint.step == bestStep { marks.append("best") }
      if checkpoint.problem != nil { marks.append("damaged") }
      table.add([
        "\(checkpoint.step)", format.string(from: checkpoint.date),
        checkpoint.problem == nil ? Words.size(checkpoint.storedBytes) : "–",
        Words.percent(checkpoint.storedBytes, of: checkpoint.rawBytes),
        checkpoint.validationLoss.map { Words.fixed($0, digits: 4) } ?? "–", marks.joined(separator: ", "),
      ])
    }
    return table.text + problems.map { $0 + "\n" }.joined()
  }

  public var json: JSONLine {
    let checkpoints = checkpoints.map { checkpoint in
      JSONLine.object([
        ("step", .integer(checkpoint.step)), ("path", .path(checkpoint.path)), ("saved", .date(checkpoint.date)),
        ("stored_bytes", checkpoint.problem == nil ? .integer(checkpoint.storedBytes) : .null),
        ("raw_bytes", checkpoint.problem == nil ? .integer(checkpoint.rawBytes) : .null),
        ("validation_loss", .optional(checkpoint.validationLoss)), ("problem", .optional(checkpoint.problem)),
      ])
    }
    return .object([
      ("folder", .path(folder)), ("checkpoints", .list(checkpoints)), ("latest_step", .optional(latestStep)),
      ("best_step", .optional(bestStep)), ("problems", .strings(problems)),
    ])
  }
}
