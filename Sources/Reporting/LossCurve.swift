import Diagnostics
import Foundation

/// The losses of a run over its steps, as `metrics.jsonl` has them, for a picture in a file or in a terminal.
public struct LossCurve: Sendable, Equatable {
  public struct Point: Sendable, Equatable {
    public var step: Int
    /// Mean nats per token.
    public var loss: Double
  }

  public var training: [Point]
  public var validation: [Point]

  public init(training: [Point], validation: [Point]) {
    self.training = training
    self.validation = validation
  }

  /// Reads a `metrics.jsonl`; losses that are not numbers (a step that was skipped) are left out.
  ///
  /// - Throws: `ForgeError` (bad input) when the file cannot be read, has a line that is not an object with a step, or
  ///   has no losses.
  public init(contentsOf path: String) throws {
    guard let contents = FileManager.default.contents(atPath: path) else {
      throw ForgeError.badInput("cannot read the metrics '\(path)'")
    }
    struct Line: Decodable {
      var step: Int
      var loss: Double?
      var validationLoss: Double?
    }
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    self.init(training: [], validation: [])
    for (index, line) in contents.split(separator: UInt8(ascii: "\n")).enumerated() {
      guard let line = try? decoder.decode(Line.self, from: Data(line)) else {
        throw ForgeError.badInput("\(path):\(index + 1): not a JSON object with a step and its losses")
      }
      if let loss = line.loss { training.append(Point(step: line.step, loss: loss)) }
      if let loss = line.validationLoss { validation.append(Point(step: line.step, loss: loss)) }
    }
    guard !training.isEmpty || !validation.isEmpty else { throw ForgeError.badInput("'\(path)' has no losses yet") }
  }

  private var points: [Point] { training + validation }

  /// The steps' and the losses' axes, each ending at round numbers for the losses.
  var axes: (steps: Axis, losses: Axis) {
    let steps = points.map { Double($0.step) }
    let losses = points.map(\.loss)
    return (
      Axis(from: steps.min() ?? 0, to: steps.max() ?? 1, isRounded: false),
      Axis(from: losses.min() ?? 0, to: losses.max() ?? 1, isRounded: true)
    )
  }

  /// At most `count` points: the means of equal runs of points, which keep a long curve's shape and calm its noise.
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
    let span = high > low ? high - low : max(abs(low), 1) * 0.1
    let raw = span / Double(tickCount)
    let power = pow(10, floor(log10(raw)))
    let spacing = power * ([1.0, 2, 5].first { $0 * power >= raw } ?? 10)
    digits = max(0, -Int(floor(log10(spacing) + 1e-9)))
    if isRounded || high <= low {
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

  func label(_ tick: Double) -> String { String(format: "%.\(digits)f", tick) }
}
