import ArgumentParser
import Checkpoints
import Foundation
import Support

struct CheckpointListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List a run's checkpoints: step, time, size and validation loss.",
    discussion: "Manifests and the lengths of files are checked, their contents are not: see 'forge checkpoint verify'."
  )

  @Argument(help: ArgumentHelp("A run directory or its checkpoints folder.", valueName: "run-directory"))
  var source: String

  func run() throws {
    let folder = try CheckpointCommand.folder(source)
    let summaries = folder.summaries()
    let validated = summaries.filter { $0.validationLoss != nil }
    let best = validated.filter { $0.validationSets == validated.last?.validationSets }
      .min { ($0.validationLoss ?? 0, $0.step) < ($1.validationLoss ?? 0, $1.step) }?.step
    let format = DateFormatter()
    format.locale = Locale(identifier: "en_US_POSIX")
    format.dateFormat = "yyyy-MM-dd HH:mm:ss"
    var table = TextTable(header: ["step", "saved", "size", "of raw", "validation loss", ""])
    var problems = ""
    for summary in summaries {
      var marks: [String] = []
      if summary.step == folder.latestStep { marks.append("latest") }
      if summary.step == best { marks.append("best") }
      if let problem = summary.problem {
        marks.append("damaged")
        problems += problem + "\n"
      }
      table.add([
        "\(summary.step)", format.string(from: summary.date),
        summary.problem == nil ? CheckpointCommand.size(summary.storedBytes) : "–",
        CheckpointCommand.percent(summary.storedBytes, of: summary.rawBytes),
        summary.validationLoss.map { String(format: "%.4f", $0) } ?? "–", marks.joined(separator: ", "),
      ])
    }
    for name in folder.leftovers() {
      problems += "\(name): a save or deletion under way, or interrupted; the next save or prune clears it away\n"
    }
    if let latest = folder.latestStep, !summaries.contains(where: { $0.step == latest }) {
      problems += "'\(folder.path)/latest' names step \(latest), which is not there\n"
    }
    try StandardOutput.write(table.text + problems)
  }
}
