import Foundation
import Testing

@testable import Training

// Linux's requests for the other end of a pseudo-terminal, which Swift does not import.
private let unlockTerminal: UInt = 0x4004_5431  // TIOCSPTLCK
private let terminalNumber: UInt = 0x8004_5430  // TIOCGPTN

@Suite struct ProgressLineTests {
  let status = ProgressStatus(
    step: 120, steps: 1000, loss: 3.21449, tokensPerSecond: 1532.4, peakShare: 0.714, secondsLeft: 200)

  @Test(arguments: [
    (200, "step 120/1000 · loss 3.2145 · 1,532 tokens/s · 71 % of peak · 3 min 20 s left"),
    (75, "step 120/1000 · loss 3.2145 · 1,532 tokens/s · 3 min 20 s left"),
    (60, "step 120/1000 · loss 3.2145 · 3 min 20 s left"),
    (40, "step 120/1000 · loss 3.2145"),
    (15, "step 120/1000"),
    (6, "step 1"),
  ])
  func theLineFitsTheTerminal(columns: Int, expected: String) {
    #expect(status.text(columns: columns) == expected)
  }

  @Test(arguments: [
    (0.4, "0 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (18_450, "5 h 7 min"), (270_000, "3 d 3 h"), (.nan, "?"),
  ])
  func durations(seconds: Double, expected: String) {
    #expect(ProgressStatus.duration(seconds) == expected)
  }

  @Test(arguments: [(0.0, "0"), (999.4, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567"), (.infinity, "inf")])
  func numbersInGroups(value: Double, expected: String) {
    #expect(ProgressStatus.grouped(value) == expected)
  }

  @Test func plainLinesComeAtIntervals() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("progress-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let (log, error) = (folder.path + "/train.log", folder.path + "/stderr")
    let descriptor = open(error, O_WRONLY | O_CREAT, 0o600)
    defer { close(descriptor) }
    var now = 0.0
    let line = try ProgressLine(steps: 30, firstStep: 5, log: log, interval: 10, output: descriptor) { now }
    line.note("hello")
    for step in 6...30 {
      now += 2
      line.update(step: step, loss: 1, tokensPerSecond: 10, peakShare: nil)
    }
    line.finish()
    let lines = try String(contentsOfFile: error, encoding: .utf8).split(separator: "\n")
    #expect(lines.first == "hello")
    #expect(lines.dropFirst().map { $0.prefix { $0 != "·" } } == [6, 11, 16, 21, 26, 30].map { "step \($0)/30 " })
    #expect(lines[1].hasSuffix("· 48 s left") && lines.last?.hasSuffix("tokens/s") == true)
    let logged = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n")
    #expect(logged.map { $0.dropFirst(20) } == lines)
    let stamp = #/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d /#
    #expect(logged.allSatisfy { $0.prefix(20).wholeMatch(of: stamp) != nil })
  }

  @Test func aTerminalsLineIsDrawnOverAndFitsItsWidth() throws {
    let terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY)
    var (number, unlocked): (Int32, Int32) = (0, 0)
    #expect(ioctl(terminal, unlockTerminal, &unlocked) == 0 && ioctl(terminal, terminalNumber, &number) == 0)
    let descriptor = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY)
    defer {
      close(descriptor)
      close(terminal)
    }
    var size = winsize(ws_row: 24, ws_col: 46, ws_xpixel: 0, ws_ypixel: 0)
    #expect(ioctl(descriptor, UInt(TIOCSWINSZ), &size) == 0)
    var now = 0.0
    let line = try ProgressLine(steps: 4, firstStep: 0, log: "/dev/null", output: descriptor) { now }
    for step in 1...4 {
      now += step == 2 ? 0.01 : 60  // the second comes too soon after the first to be drawn
      line.update(step: step, loss: 2.5, tokensPerSecond: 1e6, peakShare: 0.5)
    }
    line.note("saved")
    line.finish()
    let last = "step 4/4 · loss 2.5000 · 1,000,000 tokens/s"
    // What is written at one end of a pseudo-terminal arrives at the other a little later.
    var text = ""
    var buffer = [UInt8](repeating: 0, count: 4096)
    var ready = pollfd(fd: terminal, events: Int16(POLLIN), revents: 0)
    while !text.hasSuffix(last + "\r\n"), poll(&ready, 1, 2000) == 1 {
      let count = read(terminal, &buffer, buffer.count)
      text += String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self)
    }
    let expected = [
      "", "step 1/4 · loss 2.5000 · 3 min 0 s left", "step 3/4 · loss 2.5000 · 40 s left", last, "saved\r\n", last,
      last + "\r\n",
    ]
    #expect(text.components(separatedBy: "\r\u{1B}[K") == expected)
  }
}
