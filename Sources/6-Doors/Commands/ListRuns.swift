import Foundation
import RunStore
import Support

/// A request to list the runs in a folder; it reads only the ends of files.
public struct ListRuns: Command {
  /// The folder that holds run directories, or one run directory.
  public var folder: String

  public init(folder: String) { self.folder = folder }

  public func run(_ sinks: CommandSinks) throws -> RunList {
    let now = Date()
    return RunList(folder: folder, runs: try RunSummary.all(in: folder, now: now.timeIntervalSince1970), now: now)
  }
}

/// The runs of a folder, the most recently active first.
public struct RunList: CommandResult {
  public let folder: String
  public let runs: [RunSummary]
  /// The time of the listing.
  let now: Date

  public var text: String {
    runs.isEmpty ? "there are no runs in '\(ShownName.escaped(folder))'\n" : table
  }

  private var table: String {
    var table = TextTable(header: ["run", "state", "step", "loss", "tokens/s", "last seen", ""])
    for run in runs {
      let step = run.step.map { "\($0)" } ?? "–"
      table.add([
        ShownName.escaped(run.name), run.state.rawValue, run.steps.map { "\(step) of \($0)" } ?? step,
        run.loss.map { $0.isFinite ? String(format: "%.4f", $0) : "no number" } ?? "–",
        run.tokensPerSecond.map { String(format: "%.0f", $0) } ?? "–",
        run.lastSeen.map { Self.age(now.timeIntervalSince1970 - $0, Date(timeIntervalSince1970: $0)) } ?? "–",
        ShownName.escaped(run.problem ?? ""),
      ])
    }
    return table.text
  }

  /// An age as `12 s ago`, `5 min ago`, `3 h ago` or `2 d ago`; the date if it is more than a week.
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

  private var members: [JSONLine] {
    runs.map { run in
      .object([
        ("name", .string(PathBytes.display(run.name))), ("state", .string(run.state.rawValue)),
        ("step", run.step.map { .integer($0) } ?? .null), ("steps", run.steps.map { .integer($0) } ?? .null),
        ("loss", run.loss.map { .number($0) } ?? .null),
        ("tokens_per_second", run.tokensPerSecond.map { .number($0) } ?? .null),
        ("last_seen", run.lastSeen.map { .string(Date(timeIntervalSince1970: $0).formatted(.iso8601)) } ?? .null),
        ("problem", run.problem.map { .string($0) } ?? .null),
      ])
    }
  }

  public var json: JSONLine { .list(members) }

  /// A JSON array with one run per line.
  public var document: String {
    runs.isEmpty ? "[]\n" : "[\n" + members.map(\.text).joined(separator: ",\n") + "\n]\n"
  }
}
