import Foundation
import RunStore
import Support

/// A run's loss curve, read from `metrics.jsonl` and plotted as SVG or in a terminal.
public struct LossCurve: Sendable, Equatable {
  public struct Point: Sendable, Equatable {
    public var step: Int
    /// Mean nats per token.
    public var loss: Double
  }

  public var training: [Point]
  public var validation: [Point]
  /// How many losses are not plotted: those of a run that diverged (not a number, or of a magnitude beyond 1e100).
  public var leftOut: Int

  private static let largest = 1e100

  public init(training: [Point], validation: [Point], leftOut: Int = 0) {
    self.training = training
    self.validation = validation
    self.leftOut = leftOut
  }

  /// Parses the text of a `metrics.jsonl`. An incomplete last line, as a running or a killed run leaves it, is ignored.
  ///
  /// - Parameter path: the file's name in messages.
  /// - Throws: `ForgeError` (bad input) when it has another line that is not an object with a step, or has no losses.
  public init(_ contents: [UInt8], named path: String) throws {
    self.init(training: [], validation: [])
    let lines = contents.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() where !line.allSatisfy({ $0 <= UInt8(ascii: " ") }) {
      guard let line = MetricsLine(line) else {
        // Only the text after the last line break can be an incomplete line.
        if index == lines.count - 1 { break }
        throw ForgeError.badInput(
          "\(path):\(index + 1): not a JSON object with a step and its losses", code: .malformedFile)
      }
      if let loss = take(line.loss) { training.append(Point(step: line.step, loss: loss)) }
      if let loss = take(line.validationLoss) { validation.append(Point(step: line.step, loss: loss)) }
    }
    guard !training.isEmpty || !validation.isEmpty else {
      throw ForgeError.badInput(
        leftOut == 0
          ? "'\(path)' has no losses yet" : "'\(path)' has no loss that is a number: the run has diverged",
        code: leftOut == 0 ? .emptyInput : .diverged)
    }
  }

  /// A line's loss, if it can be plotted; others are counted in `leftOut`.
  private mutating func take(_ loss: Double?) -> Double? {
    guard let loss else { return nil }
    guard loss.magnitude <= Self.largest else {
      leftOut += 1
      return nil
    }
    return loss
  }

  private var points: [Point] { training + validation }

  /// The axes of steps and of losses; that of losses ends at round numbers.
  var axes: (steps: Axis, losses: Axis) {
    let steps = points.map { Double($0.step) }
    let losses = points.map(\.loss)
    return (
      Axis(from: steps.min() ?? 0, to: steps.max() ?? 1, isRounded: false),
      Axis(from: losses.min() ?? 0, to: losses.max() ?? 1, isRounded: true)
    )
  }

  /// Downsamples to at most `count` points: the means of equal buckets, which keep a long curve's shape and smooth its
  /// noise.
  static func thinned(_ points: [Point], to count: Int) -> [Point] {
    guard points.count > count, count > 0 else { return points }
    return (0..<count).map { bucket in
      let run = points[points.count * bucket / count..<points.count * (bucket + 1) / count]
      let loss = run.reduce(0) { $0 + $1.loss } / Double(run.count)
      return Point(step: run[run.startIndex + run.count / 2].step, loss: loss)
    }
  }
}

/// An axis with ticks at round numbers (1, 2 or 5 times a power of ten apart).
struct Axis {
  let range: ClosedRange<Double>
  let ticks: [Double]
  private let digits: Int

  /// - Parameter isRounded: whether the axis is lengthened to the next ticks.
  init(from low: Double, to high: Double, isRounded: Bool, tickCount: Int = 6) {
    // Values that differ only in their last digits count as one.
    let isFlat = high - low <= max(abs(low), abs(high)) * 1e-12
    let span = isFlat ? max(abs(low), 1) * 0.1 : high - low
    let raw = span / Double(tickCount)
    let power = pow(10, floor(log10(raw)))
    let spacing = power * ([1.0, 2, 5].first { $0 * power >= raw } ?? 10)
    digits = max(0, -Int(floor(log10(spacing) + 1e-9)))
    if isRounded || isFlat {
      range = (floor(low / spacing) * spacing)...(max(ceil(high / spacing), floor(low / spacing) + 1) * spacing)
    } else {
      range = low...high
    }
    let first = Int(ceil(range.lowerBound / spacing - 1e-9))
    let last = Int(floor(range.upperBound / spacing + 1e-9))
    ticks = (first...max(first, last)).map { Double($0) * spacing }
  }

  /// Where a value lies on the axis, 0 to 1.
  func position(_ value: Double) -> Double {
    (value - range.lowerBound) / (range.upperBound - range.lowerBound)
  }

  func label(_ tick: Double) -> String {
    String(format: digits > 8 || abs(tick) >= 1e9 ? "%.3g" : "%.\(digits)f", tick)
  }
}
