import Foundation
import Support
import Testing

@testable import RunStore

@Suite struct RunSummaryTests {
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("runs-\(UUID().uuidString)").path

  /// Makes a run of 10 steps.
  ///
  /// - Parameters:
  ///   - step: the last one in its metrics; nil for none.
  ///   - age: of its lease, seconds.
  @discardableResult
  private func make(
    _ name: String, step: Int?, age: Double = 0, isReleased: Bool = false, steps: Int? = 10
  ) throws -> RunDirectory {
    let run = RunDirectory(path: "\(folder)/\(name)")
    try run.make()
    if let step {
      let lines = (1...step).map { "{\"step\": \($0), \"loss\": \(Double($0)), \"tokens_per_second\": 7.5}\n" }
      try lines.joined().write(toFile: run.metrics, atomically: true, encoding: .utf8)
    }
    var record = RunLease.Record(epoch: 1, holder: "h", host: "node1")
    (record.isReleased, record.steps) = (isReleased, steps)
    try JSONEncoder().encode(record).write(to: URL(fileURLWithPath: run.lock))
    for path in [run.lock, run.metrics] where FileManager.default.fileExists(atPath: path) {
      try FileManager.default.setAttributes(
        [.modificationDate: Date(timeIntervalSinceNow: -age)], ofItemAtPath: path)
    }
    return run
  }

  private func summary(_ run: RunDirectory) throws -> RunSummary { try #require(RunSummary(run, name: "x")) }

  @Test func theStateFollowsFromLeaseAndSteps() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(try summary(make("running", step: 3)).state == .running)
    #expect(try summary(make("starting", step: nil)).state == .running)
    #expect(try summary(make("silent", step: 3, age: RunLease.timeout + 1)).state == .failed)
    #expect(
      try summary(make("ahead", step: 3, age: -3600)).state == .failed, "a clock that is wrong is no sign of life")
    #expect(try summary(make("asked", step: 3, isReleased: true)).state == .stopped)
    #expect(try summary(make("done", step: 10, isReleased: true)).state == .finished)
    #expect(try summary(make("last-step", step: 10)).state == .running, "it is still saving")
    let ended = try make("killed-at-its-very-end", step: 10, age: 60)
    let ledger = try StepLedger(
      path: ended.ledger, continuingFrom: nil, settings: "", expected: "", report: { _ in })
    try ledger.append("end", [("step", .integer(10))])
    #expect(try summary(ended).state == .finished)
    let run = try summary(make("numbers", step: 3))
    #expect(run.step == 3 && run.steps == 10 && run.loss == 3 && run.tokensPerSecond == 7.5)
  }

  @Test func runsOfVersionsBeforeAreReadByTheirConfiguration() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let run = try make("before", step: 10, isReleased: true, steps: nil)
    #expect(try summary(run).state == .stopped)
    try "run:\n  steps: 10\n".write(toFile: run.configuration, atomically: true, encoding: .utf8)
    #expect(try summary(run).state == .finished && summary(run).steps == 10)
    try FileManager.default.removeItem(atPath: run.lock)
    #expect(try summary(run).state == .finished, "a run that had no lease")
    #expect(RunSummary(RunDirectory(path: "/nonexistent"), name: "x") == nil)
  }

  @Test func whatCannotBeReadIsARowThatSaysSo() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let cut = try make("cut", step: 3)
    let file = try AppendedFile(path: cut.metrics)
    try file.append("{\"step\": 4, \"lo")
    #expect(try summary(cut).step == 3 && summary(cut).state == .running)
    let garbage = try make("garbage", step: 3)
    try "{\"epoch\": ".write(toFile: garbage.lock, atomically: true, encoding: .utf8)
    #expect(try summary(garbage).state == .unreadable && summary(garbage).problem?.contains("no lease") == true)
    let directory = try make("directory", step: nil)
    try FileManager.default.createDirectory(atPath: directory.metrics, withIntermediateDirectories: true)
    #expect(try summary(directory).state == .unreadable)
    try Data(repeating: 7, count: 100_000).write(to: URL(fileURLWithPath: make("binary", step: nil).metrics))
    try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: "/nonexistent")
    #expect(try RunSummary.all(in: folder).map(\.name).sorted() == ["binary", "cut", "directory", "garbage"])
  }

  @Test func thoseSeenLastComeFirst() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try make("b", step: 1, age: 100)
    try make("c", step: 1, age: 10)
    try make("a", step: 1, age: 1000)
    try FileManager.default.createDirectory(atPath: folder + "/no-run", withIntermediateDirectories: false)
    #expect(try RunSummary.all(in: folder).map(\.name) == ["c", "b", "a"])
    #expect(try RunSummary.all(in: folder + "/b").map(\.name) == ["b"])
    let error = #expect(throws: ForgeError.self) { try RunSummary.all(in: folder + "/none") }
    #expect(error?.exitCode == 64)
  }

  @Test func theLastLineIsFoundHoweverLongItIs() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let run = try make("long", step: 2)
    let list = String(repeating: "1, ", count: 20_000) + "1"
    try AppendedFile(path: run.metrics).append("{\"step\": 3, \"loss\": 4.5, \"tokens_per_expert\": [\(list)]}\n")
    #expect(try summary(run).step == 3 && summary(run).loss == 4.5)
  }
}
