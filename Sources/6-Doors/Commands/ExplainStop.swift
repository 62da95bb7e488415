import Diagnostics
import Foundation
import Support

/// A request to diagnose which rank of a run stopped where and which ranks wait for it, from the flight records.
public struct ExplainStop: Command {
  /// A run directory.
  public var directory: String

  public init(directory: String) { self.directory = directory }

  public func run(_ sinks: CommandSinks) throws -> StopExplanation {
    StopExplanation(diagnosis: try RunDiagnosis(run: directory))
  }
}

/// The diagnosis of a run from the records of all its ranks.
public struct StopExplanation: CommandResult {
  public let diagnosis: RunDiagnosis

  public var text: String { diagnosis.text() }

  public var json: JSONLine {
    let ranks = zip(diagnosis.records, diagnosis.conditions).map { record, condition in
      JSONLine.object([
        ("rank", .integer(record.rank)), ("host", .string(record.host)), ("pid", .integer(Int(record.pid))),
        ("step", .integer(record.step)), ("phase", .string("\(record.phase)")),
        ("condition", .string(Self.name(of: condition))),
        ("last_sign", .date(Date(timeIntervalSince1970: record.lastSign))),
        ("exit_code", .optional(record.ending.map { Int($0.exitCode) })),
        ("sentence", .optional(record.ending?.sentence)),
      ])
    }
    return .object([
      ("kind", .string("\(diagnosis.kind)")), ("culprits", .integers(diagnosis.culprits)),
      ("sentence", .string(diagnosis.sentence)), ("ranks", .list(ranks)),
    ])
  }

  private static func name(of condition: RankCondition) -> String {
    if case .ended(let ending) = condition { return ending == .normal ? "ended" : "\(ending)" }
    return "\(condition)"
  }
}
