import ArgumentParser
import Checkpoints
import Foundation
import Support

struct CheckpointCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "checkpoint",
    abstract: "List, verify, show, compare and delete the checkpoints of a run.",
    discussion: """
      EXAMPLES
        forge checkpoint list runs/quickstart
        forge checkpoint verify runs/quickstart
        forge checkpoint show runs/quickstart/checkpoints/step-00000100
        forge checkpoint diff runs/a runs/b
        forge checkpoint prune runs/quickstart --keep-last 2 --keep-best 1 --dry-run
      """,
    subcommands: [
      CheckpointListCommand.self, CheckpointVerifyCommand.self, CheckpointShowCommand.self, CheckpointDiffCommand.self,
      CheckpointPruneCommand.self,
    ])

  /// All checkpoints of a run.
  ///
  /// - Throws: `ForgeError.badInput` when the path is one checkpoint, or nothing of the kind.
  static func folder(_ path: String) throws -> CheckpointFolder {
    guard case .all(let folder) = try CheckpointLocation(path: path) else {
      throw ForgeError.badInput("'\(path)' is one checkpoint; name the run")
    }
    return folder
  }

  static func check(threads: Int) throws {
    guard (1...LoadedModel.maxThreads).contains(threads) else {
      throw ForgeError.badInput("--threads must be between 1 and \(LoadedModel.maxThreads), not \(threads)")
    }
  }

  /// `731.5 MB`, in powers of ten.
  static func size(_ bytes: Int) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")]
    guard let (factor, unit) = units.first(where: { Double(bytes) >= $0.0 }) else { return "\(bytes) B" }
    return String(format: "%.1f ", Double(bytes) / factor) + unit
  }

  /// `86.1 %`
  static func percent(_ part: Int, of whole: Int) -> String {
    whole == 0 ? "–" : String(format: "%.1f %%", 100 * Double(part) / Double(whole))
  }
}

/// Rows of text in columns as wide as they need, all but the first flush right.
struct TextTable {
  private var rows: [[String]]

  init(header: [String]) { rows = [header] }

  mutating func add(_ row: [String]) { rows.append(row) }

  var text: String {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in rows.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
    return rows.map { row in
      var line = ""
      for (column, cell) in row.enumerated() {
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        line += (column == 0 ? cell + padding : "  " + padding + cell)
      }
      while line.last == " " { line.removeLast() }
      return line + "\n"
    }.joined()
  }
}
