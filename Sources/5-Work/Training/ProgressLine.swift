import Foundation
import Support

/// Progress display of a run: a line redrawn in place on a terminal, and plain lines at intervals in the log file and
/// on a standard error that is not a terminal.
final class ProgressLine {
  private let steps: Int
  private let firstStep: Int
  private let interval: Double
  private let output: Int32
  private let log: Int32
  private let isTerminal: Bool
  private let clock: () -> Double
  private let start: Double
  private var status: ProgressStatus?
  private var lastDrawn = -Double.infinity
  private var lastLogged = -Double.infinity

  /// - Parameters:
  ///   - firstStep: the step after which this process starts or resumes the run.
  ///   - log: path of the log file; lines are appended.
  ///   - interval: seconds between two plain lines.
  ///   - output: the file descriptor of the terminal or its replacement.
  ///   - clock: seconds since an arbitrary moment.
  /// - Throws: `ForgeError.tryAgain` when the log cannot be opened.
  init(
    steps: Int, firstStep: Int, log: String, interval: Double = 10, output: Int32 = STDERR_FILENO,
    clock: @escaping () -> Double = { ProcessInfo.processInfo.systemUptime }
  ) throws {
    self.steps = steps
    self.firstStep = firstStep
    self.interval = interval
    self.output = output
    self.clock = clock
    isTerminal = isatty(output) == 1
    start = clock()
    self.log = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
    guard self.log >= 0 else {
      throw ForgeError.tryAgain(
        "cannot open '\(log)': \(String(cString: strerror(errno)))", code: .system(errno, else: .writeFailed))
    }
  }

  deinit { close(log) }

  /// Updates the display after a step.
  ///
  /// - Parameters:
  ///   - loss: mean nats per token.
  ///   - peakShare: this step's share of the CPUs' peak (``PeakShare``), 0 to 1; nil when unknown.
  ///   - imbalance: max over mean expert load; nil to omit it.
  func update(step: Int, loss: Double, tokensPerSecond: Double, peakShare: Double?, imbalance: Double? = nil) {
    let now = clock()
    let done = step - firstStep
    let remaining = done > 0 ? (now - start) / Double(done) * Double(steps - step) : nil
    let status = ProgressStatus(
      step: step, steps: steps, loss: loss, tokensPerSecond: tokensPerSecond, peakShare: peakShare,
      secondsLeft: remaining, imbalance: imbalance)
    self.status = status
    let isLast = step == steps
    if isTerminal, now - lastDrawn >= 0.1 || isLast {
      lastDrawn = now
      draw()
    }
    if now - lastLogged >= interval || isLast {
      lastLogged = now
      writePlain(status.text(columns: .max))
    }
  }

  /// Logs a permanent line: above the progress on a terminal, and in the log file.
  func note(_ sentence: String) {
    if isTerminal { write("\r\u{1B}[K\(sentence)\n", to: output) }
    writePlain(sentence)
    draw()
  }

  /// Draws the last state on the terminal and ends the line.
  func finish() {
    guard isTerminal, status != nil else { return }
    draw()
    write("\n", to: output)
    status = nil
  }

  private func draw() {
    guard isTerminal, let status else { return }
    write("\r\u{1B}[K\(status.text(columns: columns - 1))", to: output)
  }

  private var columns: Int {
    var size = winsize()
    return ioctl(output, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
  }

  private func writePlain(_ line: String) {
    write("\(Self.timestamp()) \(line)\n", to: log)
    if !isTerminal { write("\(line)\n", to: output) }
  }

  /// Errors are ignored: a run must not end because its progress cannot be displayed.
  private func write(_ text: String, to descriptor: Int32) {
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
  }

  /// Local time, `2026-11-21 04:30:00`.
  private static func timestamp() -> String {
    var now = time(nil)
    var local = tm()
    localtime_r(&now, &local)
    return String(
      format: "%04d-%02d-%02d %02d:%02d:%02d", local.tm_year + 1900, local.tm_mon + 1, local.tm_mday, local.tm_hour,
      local.tm_min, local.tm_sec)
  }
}

/// The contents of the progress line.
struct ProgressStatus {
  var step: Int
  var steps: Int
  var loss: Double
  var tokensPerSecond: Double
  var peakShare: Double?
  var secondsLeft: Double?
  var imbalance: Double?

  /// `step 120/1000 · loss 3.2145 · 1,532 tokens/s · 71 % of peak · 3 min 20 s left`, omitting the least important
  /// parts to fit `columns`.
  func text(columns: Int) -> String {
    var parts: [(text: String, importance: Int)] = [
      ("step \(step)/\(steps)", 5), ("loss \(String(format: "%.4f", loss))", 4),
      ("\(Self.grouped(tokensPerSecond)) tokens/s", 2),
    ]
    if let peakShare { parts.append(("\(Int((peakShare * 100).rounded())) % of peak", 1)) }
    if let imbalance { parts.append(("busiest expert \(String(format: "%.1f", imbalance)) × the mean", 2)) }
    if let secondsLeft, step < steps { parts.append(("\(Self.duration(secondsLeft)) left", 3)) }
    func line() -> String { parts.map(\.text).joined(separator: " · ") }
    while line().count > columns, parts.count > 1 {
      let least = parts.map(\.importance).min()
      parts.removeAll { $0.importance == least }
    }
    return String(line().prefix(max(columns, 0)))
  }

  /// Digits in groups of three: `1,532`.
  static func grouped(_ value: Double) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
    let digits = Array(String(Int(value.rounded())))
    let groups = stride(from: digits.count, to: 0, by: -3).map { String(digits[max(0, $0 - 3)..<$0]) }
    return groups.reversed().joined(separator: ",")
  }

  /// The two largest units: `42 s`, `3 min 20 s`, `5 h 7 min`, `12 d 3 h`.
  static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0, seconds < 1e9 else { return "?" }
    let seconds = Int(seconds.rounded())
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400)
    if days > 0 { return "\(days) d \(hours % 24) h" }
    if hours > 0 { return "\(hours) h \(minutes % 60) min" }
    if minutes > 0 { return "\(minutes) min \(seconds % 60) s" }
    return "\(seconds) s"
  }
}
