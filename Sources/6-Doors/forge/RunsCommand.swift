import ArgumentParser
import Foundation
import RunStore
import Support

struct RunsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "runs",
    abstract: "List the runs in a folder: state, step, loss, speed, and when each was last seen.",
    discussion: """
      Only the ends of files are read. A run is 'running' while its job gives signs of life; 'stopped' when it ended in \
      good order before its last step, and 'failed' when it did not (see 'forge why'). Those seen last come first.

      EXAMPLES
        forge runs
        forge runs /shared/runs --json
      """)

  @Argument(help: "The folder that holds run directories, or one run directory.")
  var folder = "runs"

  @Flag(help: "Print a JSON array, with times as ISO 8601.")
  var json = false

  func run() throws {
    let now = Date()
    let runs = try RunSummary.all(in: folder, now: now.timeIntervalSince1970)
    if json { return try StandardOutput.write(Self.array(runs)) }
    guard !runs.isEmpty else {
      return try StandardOutput.write("there are no runs in '\(ShownName.escaped(folder))'\n")
    }
    try StandardOutput.write(Self.table(runs, now: now))
  }

  private static func table(_ runs: [RunSummary], now: Date) -> String {
    var table = TextTable(header: ["run", "state", "step", "loss", "tokens/s", "last seen", ""])
    for run in runs {
      let step = run.step.map { "\($0)" } ?? "–"
      table.add([
        ShownName.escaped(run.name), run.state.rawValue, run.steps.map { "\(step) of \($0)" } ?? step,
        run.loss.map { $0.isFinite ? String(format: "%.4f", $0) : "no number" } ?? "–",
        run.tokensPerSecond.map { String(format: "%.0f", $0) } ?? "–",
        run.lastSeen.map { age(now.timeIntervalSince1970 - $0, Date(timeIntervalSince1970: $0)) } ?? "–",
        ShownName.escaped(run.problem ?? ""),
      ])
    }
    return table.text
  }

  /// `12 s ago`, `5 min ago`, `3 h ago`, `2 d ago`, and the date of what is older than a week.
  private static func age(_ seconds: Double, _ date: Date) -> String {
    let (minute, hour, day) = (60.0, 3600.0, 86_400.0)
    return switch seconds {
    case ..<minute: "\(max(0, Int(seconds))) s ago"
    case ..<hour: "\(Int(seconds / minute)) min ago"
    case ..<day: "\(Int(seconds / hour)) h ago"
    case ..<(7 * day): "\(Int(seconds / day)) d ago"
    default: date.formatted(.iso8601.year().month().day())
    }
  }

  private static func array(_ runs: [RunSummary]) -> String {
    let lines = runs.map { run in
      JSONLine.object([
        ("name", .string(PathBytes.display(run.name))), ("state", .string(run.state.rawValue)),
        ("step", run.step.map { .integer($0) } ?? .null), ("steps", run.steps.map { .integer($0) } ?? .null),
        ("loss", run.loss.map { .number($0) } ?? .null),
        ("tokens_per_second", run.tokensPerSecond.map { .number($0) } ?? .null),
        ("last_seen", run.lastSeen.map { .string(Date(timeIntervalSince1970: $0).formatted(.iso8601)) } ?? .null),
        ("problem", run.problem.map { .string($0) } ?? .null),
      ]).text
    }
    return lines.isEmpty ? "[]\n" : "[\n" + lines.joined(separator: ",\n") + "\n]\n"
  }
}
