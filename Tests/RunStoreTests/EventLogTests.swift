import Formats
import Foundation
import Support
import Testing

@testable import RunStore

@Suite struct EventLogTests {
  private let run: TestRun

  init() throws { run = try TestRun() }

  private func files() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: run.directory.path)
      .filter { $0.hasPrefix(TensorBoardEvents.filePrefix) }.sorted()
  }

  private func contents(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(run.directory.path)/\(name)")))
  }

  /// The bytes up to the end of a step in all files of the run: equal for two steps that have the same records.
  private func bytes(through step: Int) throws -> Int {
    try files().reduce(0) { sum, name in
      try contents(name).withUnsafeBytes {
        sum + (TensorBoardEvents.kept(of: $0, writer: "forge-dist", through: step)?.bytes ?? 0)
      }
    }
  }

  private func write(_ steps: ClosedRange<Int>, to log: EventLog) throws {
    for step in steps { try log.append(step: step, [("loss", 1), ("grad_norm", 2)]) }
  }

  @Test func stepsThatAreWrittenAgainLeaveTheFilesBefore() throws {
    let first = try EventLog(run.directory, resumingAfter: 0)
    try write(1...4, to: first)
    let name = try #require(try files().first)
    let untilTwo = try bytes(through: 2)

    let second = try EventLog(run.directory, resumingAfter: 2)
    #expect(try contents(name).count == untilTwo)
    try write(3...4, to: second)
    #expect(try files().count == 2)

    _ = try EventLog(run.directory, resumingAfter: 2)
    #expect(try files().count == 2, "the second file had later steps only, and goes")
    _ = try EventLog(run.directory, resumingAfter: 0)
    let left = try files()
    #expect(try left.count == 1 && contents(left[0]).count < untilTwo, "nothing but a beginning")
  }

  @Test func whatACrashCutShortGoes() throws {
    let log = try EventLog(run.directory, resumingAfter: 0)
    try write(1...2, to: log)
    let name = try #require(try files().first)
    let whole = try contents(name)
    try log.file.append(Array(whole.suffix(30).prefix(20)))
    _ = try EventLog(run.directory, resumingAfter: 2)
    #expect(try contents(name) == whole)
  }

  @Test func filesOfOthersStay() throws {
    let others: [(String, [UInt8])] = [
      ("theirs", TensorBoardEvents.header(writer: "theirs", wallTime: 1) + scalar(9)), ("before", scalar(9)),
      ("none", Array("no records".utf8)),
    ]
    for (name, bytes) in others {
      try Data(bytes).write(
        to: URL(fileURLWithPath: "\(run.directory.path)/\(TensorBoardEvents.filePrefix)\(name)"))
    }
    let log = try EventLog(run.directory, resumingAfter: 0)
    try write(1...2, to: log)
    _ = try EventLog(run.directory, resumingAfter: 0)
    for (name, bytes) in others { #expect(try contents(TensorBoardEvents.filePrefix + name) == bytes) }
    #expect(try files().count == others.count + 1)
  }

  private func scalar(_ step: Int) -> [UInt8] {
    TensorBoardEvents.scalar(1, tag: "loss", step: step, wallTime: 1)
  }
}
