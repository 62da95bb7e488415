import Foundation
import Testing

@testable import RunStore

@Suite struct StepLedgerTests {
  private let path = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).jsonl").path

  private func open(from position: StepLedger.Position? = nil, settings: String = "") throws -> (StepLedger, [String]) {
    var told: [String] = []
    let ledger = try StepLedger(
      path: path, continuingFrom: position, settings: settings, expected: "mine", report: { told.append($0) })
    return (ledger, told)
  }

  private func step(_ number: Int, loss: Double = 2.5, batch: String? = "abc") -> StepLedger.Step {
    StepLedger.Step(
      step: number, sequences: 8 * number - 8..<8 * number, batch: batch, loss: loss,
      gradientNorm: 0.1 * Double(number), isApplied: true)
  }

  private func append(_ ledger: StepLedger, _ step: StepLedger.Step) throws -> StepLedger.Step? {
    try ledger.append(step, kernelFamily: "haswell", ranks: 2)
  }

  private func start(_ ledger: StepLedger) throws { try ledger.append("start", [("settings", .string("mine"))]) }

  @Test func whatIsWrittenIsReadBackAndChained() throws {
    let (ledger, _) = try open()
    try start(ledger)
    for number in 1...3 { #expect(try append(ledger, step(number)) == nil) }
    let file = try LedgerFile(path: path)
    #expect(file.damage == nil && file.end == ledger.position)
    let steps = file.entries.compactMap(\.step)
    #expect(steps.count == 3 && zip(steps, 1...3).allSatisfy { $0.repeats(step($1)) && $0.batch == "abc" })
    #expect(file.entries[1].kernelFamily == "haswell")
  }

  @Test func stepsComputedAgainAreCompared() throws {
    let (first, _) = try open()
    try start(first)
    _ = try append(first, step(1))
    let checkpoint = first.position
    for number in 2...4 { _ = try append(first, step(number)) }

    let (second, told) = try open(from: checkpoint, settings: "mine")
    #expect(told.isEmpty)
    try start(second)
    #expect(try append(second, step(2)) == nil)
    #expect(try append(second, step(3, loss: 2.5.nextUp))?.loss == 2.5, "one bit is a difference")
    #expect(try LedgerFile(path: path).damage == nil)

    let (third, _) = try open(from: checkpoint, settings: "others")
    #expect(try append(third, step(2, loss: 9))?.loss == 2.5, "recorded again since, with these settings")
    #expect(try append(third, step(4, loss: 9)) == nil, "recorded with other settings")
  }

  @Test func aStepOfOtherDataDiffersAndLedgersWithoutHashesSayNothing() throws {
    let (first, _) = try open()
    try start(first)
    let checkpoint = first.position
    _ = try append(first, step(1))
    _ = try append(first, step(2, batch: nil))
    #expect(try LedgerFile(path: path).entries.last?.step?.batch == nil)
    let text = try String(contentsOfFile: path, encoding: .utf8)
    #expect(text.contains("\"batch_sha256\": \"abc\"") && !text.contains("null"))

    let (second, _) = try open(from: checkpoint, settings: "mine")
    let before = try #require(try append(second, step(1, batch: "abd")))
    #expect(!step(1, batch: "abd").hasData(of: before))
    #expect(try append(second, step(2, batch: "abd")) == nil, "the older record does not know")
  }

  @Test func aLineCutShortGoesAndTheChainGoesOn() throws {
    let (ledger, _) = try open()
    _ = try append(ledger, step(1))
    let end = ledger.position
    _ = try append(ledger, step(2))
    let whole = try Data(contentsOf: URL(fileURLWithPath: path))
    try whole.dropLast(9).write(to: URL(fileURLWithPath: path))
    let (again, told) = try open()
    #expect(again.position == end && told.isEmpty)
    _ = try append(again, step(2))
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == whole)
  }

  @Test(arguments: ["a changed digit", "a line left out", "two lines exchanged"])
  func whatWasTamperedWithIsNamed(how: String) throws {
    let (ledger, _) = try open()
    for number in 1...4 { _ = try append(ledger, step(number)) }
    var lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
    switch how {
    case "a changed digit": lines[1] = lines[1].replacingOccurrences(of: "\"step\": 2", with: "\"step\": 7")
    case "a line left out": lines.remove(at: 1)
    default: lines.swapAt(1, 2)
    }
    try (lines.joined(separator: "\n") + "\n").write(toFile: path, atomically: true, encoding: .utf8)
    let damage = try LedgerFile(path: path).damage?.description ?? ""
    #expect(damage.hasPrefix("line 2 does not"), "\(damage)")
    let (_, told) = try open()
    #expect(told.count == 1)
  }

  @Test func anotherRunsLedgerIsTold() throws {
    let (ledger, _) = try open()
    _ = try append(ledger, step(1))
    let (_, told) = try open(from: StepLedger.Position(offset: 5, hash: String(repeating: "a", count: 64)))
    #expect(told.contains { $0.contains("is not the ledger that the checkpoint was written with") })
  }
}
