import Diagnostics
import Foundation
import Testing

@testable import Training

@Suite struct WatchdogTests {
  /// Whether a rank that waits in a step may wait longer, by the ranks' flight records.
  private func isPausing(_ phase: FlightRecorder.Phase, after seconds: Double = 0, end: FlightRecorder.Ending? = nil)
    throws -> Bool
  {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("watchdog-\(UUID())").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let boxes = try (0..<3).map { try FlightRecorder(folder: folder, rank: $0, ranks: 3, attempt: 1) }
    for box in boxes { box.enter(.training, step: 7) }
    boxes[0].enter(phase, step: 6)
    for box in boxes { box.beat() }
    if let end { boxes[0].end(end, exitCode: 75) }
    let records = try FlightRecord.newest(in: folder)
    #expect(records.count == 3)
    return Watchdog.isPausing(records, besides: 1, atMost: 600, now: Date().timeIntervalSince1970 + seconds)
  }

  @Test func aRankThatRecordsOrSavesIsWaitedFor() throws {
    #expect(try isPausing(.recording))
    #expect(try isPausing(.checkpoint))
  }

  @Test func oneThatComputesHasStoppedOrHasEndedIsNot() throws {
    #expect(try !isPausing(.training))
    #expect(try !isPausing(.recording, after: 20))
    #expect(try !isPausing(.recording, end: .failure))
  }
}
