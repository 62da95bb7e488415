import Foundation
import Support
import Testing

@testable import RunStore

@Suite struct LedgerVerificationTests {
  /// Starts, steps computed again, a rollback and a recovery (kind `repair`), as a trainer writes them.
  private func eventfulRun() throws -> TestRun {
    let run = try TestRun()
    try run.start(after: 0)
    try run.steps(1...2)
    try run.checkpoint(2)
    try run.steps(3...4)
    try run.checkpoint(4)
    try run.steps(5...6)
    try run.start(after: 4)  // killed, and continued
    try run.steps(5...7)
    try run.ledger.append("rollback", [("step", .integer(8)), ("to_step", .integer(4))])
    try run.steps(5...6)
    try run.ledger.append("repair", [("step", .integer(7)), ("ranks", .string("rank 1"))])  // by an earlier version
    try run.steps(7...8)
    try run.ledger.append("repair", [("step", .integer(9)), ("to_step", .integer(4))])
    try run.steps(5...8)
    try run.checkpoint(8)
    try run.ledger.append("end", [("step", .integer(8))])
    return run
  }

  @Test func anEventfulRunIsSound() throws {
    let run = try eventfulRun()
    let verified = try LedgerVerification(run.directory)
    #expect(verified.finding == nil, "\(String(describing: verified.finding))")
    #expect(verified.starts == 2 && verified.lastStep == 8 && verified.checkpoints == 3)
    #expect(verified.repeatedSteps == 9 && verified.differingSteps == 0)
  }

  /// A run that begins with another's checkpoint, and again with a later one before it had one of its own.
  @Test func aBranchIsSound() throws {
    func branch(_ run: TestRun, at step: Int, root: String? = "ab") throws {
      try run.ledger.append(
        "branch",
        [("step", .integer(step)), ("checkpoint", .string("trunk"))] + (root.map { [("root", .string($0))] } ?? []))
    }
    let run = try TestRun()
    try branch(run, at: 4)
    try run.start(after: 4)
    try run.steps(5...6)
    try branch(run, at: 8)
    try run.start(after: 8)
    try run.checkpoint(8)
    try run.steps(9...10)
    let verified = try LedgerVerification(run.directory)
    #expect(verified.finding == nil && verified.checkpoints == 1, "\(String(describing: verified.finding))")
    try branch(run, at: 8, root: nil)
    #expect(try LedgerVerification(run.directory).finding?.line == 10)
  }

  @Test func aLineCutShortIsNoDamage() throws {
    let run = try eventfulRun()
    try run.ledger.file.append("{\"kind\": \"step\", \"st")
    let verified = try LedgerVerification(run.directory)
    #expect(verified.finding == nil && verified.cutBytes == 20)
  }

  @Test(arguments: [
    ("changed", 3, "does not match its hash"), ("left out", 3, "does not follow the line before it"),
    ("exchanged", 3, "does not follow the line before it"), ("no JSON", 3, "does not match its hash"),
  ])
  func theFirstBadLineIsNamed(how: String, line: Int, what: String) throws {
    let run = try eventfulRun()
    try run.edit { lines in
      switch how {
      case "changed": lines[2] = lines[2].replacingOccurrences(of: "\"step\": 2", with: "\"step\": 3")
      case "left out": lines.remove(at: 2)
      case "exchanged": lines.swapAt(2, 3)
      default: lines[2] = "?"
      }
      lines[9] = "?"  // a later one, that is not named
    }
    let finding = try #require(try LedgerVerification(run.directory).finding)
    #expect(finding.file == run.directory.ledger && finding.line == line && finding.what == what, "\(finding)")
  }

  /// Chains that are whole, and cannot be a run's.
  @Test func stepsOutOfOrderAreNamed() throws {
    func violation(_ write: (TestRun) throws -> Void) throws -> LedgerVerification.Finding? {
      let run = try TestRun()
      try write(run)
      return try LedgerVerification(run.directory).finding
    }
    let gap = try violation {
      try $0.start(after: 0)
      try $0.steps(1...2)
      try $0.steps(4...5)
    }
    #expect(gap?.line == 4 && gap?.what == "is step 4 behind step 2")
    let start = try violation {
      try $0.start(after: 0)
      try $0.steps(1...2)
      try $0.start(after: 3)
    }
    #expect(start?.line == 4 && start?.what.contains("continues after step 3") == true)
    let rollback = try violation {
      try $0.start(after: 0)
      try $0.steps(1...2)
      try $0.ledger.append("rollback", [("step", .integer(3)), ("to_step", .integer(5))])
    }
    #expect(rollback?.line == 4)
    let repair = try violation {
      try $0.start(after: 0)
      try $0.steps(1...2)
      try $0.ledger.append("repair", [("step", .integer(3))])
      try $0.steps(4...4)
    }
    #expect(repair?.line == 5)
    let checkpoint = try violation {
      try $0.start(after: 0)
      try $0.steps(1...2)
      try $0.ledger.append("checkpoint", [("step", .integer(3))])
    }
    #expect(checkpoint?.line == 4)
    #expect(
      try violation {
        try $0.start(after: 100)  // a run of a version without ledgers is resumed
        try $0.steps(101...102)
      } == nil)
  }

  @Test func checkpointsAreThoseOfTheLedger() throws {
    let run = try eventfulRun()
    try run.checkpoint(8, isRecorded: false, content: 3)
    #expect(try LedgerVerification(run.directory).finding == nil, "saved again, and killed before the line was written")
    try run.checkpoint(5, isRecorded: false)
    var finding = try #require(try LedgerVerification(run.directory).finding)
    #expect(finding.file.hasSuffix("step-00000005") && finding.what.contains("the ledger was at step 8"), "\(finding)")
    try FileManager.default.removeItem(atPath: run.directory.checkpoints.path(step: 5))

    let other = try TestRun()
    try other.start(after: 0)
    try other.steps(1...8)
    try other.checkpoint(8)
    let place = run.directory.checkpoints.path(step: 8)
    try FileManager.default.removeItem(atPath: place)
    try FileManager.default.copyItem(atPath: other.directory.checkpoints.path(step: 8), toPath: place)
    finding = try #require(try LedgerVerification(run.directory).finding)
    #expect(finding.what.contains("ended in another line") && finding.line == nil, "\(finding)")

    try FileManager.default.removeItem(atPath: place + "/manifest.json")
    finding = try #require(try LedgerVerification(run.directory).finding)
    #expect(finding.what.hasPrefix("cannot be read"), "\(finding)")
  }

  @Test func aCheckpointThatWasWrittenAnewIsNamed() throws {
    let run = try TestRun()
    try run.start(after: 0)
    try run.steps(1...2)
    let position = run.ledger.position
    try run.checkpoint(2)
    // The same step and place in the ledger, with other contents.
    let again = try TestRun()
    try again.start(after: 0)
    try again.steps(1...2)
    #expect(again.ledger.position == position)
    try again.checkpoint(2, content: 9)
    let place = run.directory.checkpoints.path(step: 2)
    try FileManager.default.removeItem(atPath: place)
    try FileManager.default.copyItem(atPath: again.directory.checkpoints.path(step: 2), toPath: place)
    let finding = try #require(try LedgerVerification(run.directory).finding)
    #expect(finding.what.contains("root hash") && finding.what.contains("line 4"), "\(finding)")
  }

  @Test func checkpointsOfVersionsBeforeAreCounted() throws {
    let run = try TestRun()
    try run.start(after: 0)
    try run.steps(1...2)
    try run.checkpoint(2, isRecorded: false, knowsLedger: false)
    let verified = try LedgerVerification(run.directory)
    #expect(verified.finding == nil && verified.checkpoints == 0 && verified.unknownCheckpoints == 1)
  }

  @Test func whatIsNoRunIsRefused() {
    let error = #expect(throws: ForgeError.self) { try LedgerVerification(RunDirectory(path: "/nonexistent")) }
    #expect(error?.exitCode == 64 && error?.description.contains("it has no ledger.jsonl") == true)
  }
}
