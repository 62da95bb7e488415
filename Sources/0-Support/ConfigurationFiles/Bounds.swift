import Support

/// The number type of a setting: an integer or a floating-point number.
public protocol BoundedNumber: Comparable, AdditiveArithmetic, Sendable {
  /// The noun in tables and messages.
  static var noun: String { get }
  /// The default max of a setting, beyond any sensible value.
  static var usualLimit: Self { get }
  var isFinite: Bool { get }
  var value: ConfigurationNode.Value { get }
}

extension Int: BoundedNumber {
  public static var noun: String { "integer" }
  /// The microseconds of thirty years.
  public static var usualLimit: Int { 1 << 50 }
  public var isFinite: Bool { true }
  public var value: ConfigurationNode.Value { .integer(self) }
}

extension Double: BoundedNumber {
  public static var noun: String { "number" }
  /// About the largest fp32 number.
  public static var usualLimit: Double { 1e38 }
  public var value: ConfigurationNode.Value { Int(exactly: self).map { .integer($0) } ?? .number(self) }
}

/// The range of a numeric setting.
public struct Bounds<Number: BoundedNumber>: Sendable {
  enum Interval: Sendable {
    case any
    case positive
    case atLeast(Number)
    case closed(ClosedRange<Number>)
    case halfOpen(Range<Number>)
  }

  let interval: Interval
  /// A number outside the interval that is valid too, such as 0 for never.
  var exception: Number?
  /// The max of new runs. Earlier versions had no such limit, so a run that was started with more may continue.
  var limit: Number?
  /// Whether infinity is rejected for every run, not only for new ones.
  var isFinite = false

  public static var any: Bounds { Bounds(interval: .any) }

  public static var positive: Bounds { positive() }

  public static func positive(limit: Number = .usualLimit, isFinite: Bool = false) -> Bounds {
    Bounds(interval: .positive, limit: limit, isFinite: isFinite)
  }

  public static func atLeast(
    _ least: Number, except exception: Number? = nil, limit: Number? = .usualLimit, isFinite: Bool = false
  ) -> Bounds {
    Bounds(interval: .atLeast(least), exception: exception, limit: limit, isFinite: isFinite)
  }

  public static func within(_ range: ClosedRange<Number>) -> Bounds { Bounds(interval: .closed(range)) }

  public static func within(_ range: Range<Number>) -> Bounds { Bounds(interval: .halfOpen(range)) }

  // MARK: Checks

  func contains(_ number: Number) -> Bool {
    if let exception, number == exception { return true }
    if isFinite, !number.isFinite { return false }
    // NaN is in none of the others: its comparisons are false.
    return switch interval {
    case .any: true
    case .positive: number > .zero
    case .atLeast(let least): number >= least
    case .closed(let range): range.contains(number)
    case .halfOpen(let range): range.contains(number)
    }
  }

  /// Validates a setting. A number beyond the limit alone is accepted if the run to continue was started with it.
  ///
  /// - Throws: `ForgeError` (bad input), located, for a number outside the range.
  func check(_ number: Number, _ key: String, in section: ConfigurationSection, hint: String? = nil) throws {
    guard contains(number) else {
      let requirement =
        number.isFinite || !isFinite && number == number ? requirement : "be a finite \(Number.noun), not"
      throw section.error(key, "must \(requirement) \(number.value)", hint: hint)
    }
    guard let limit, number > limit else { return }
    try section.refuse(key, "must be at most \(limit.value), but is \(number.value)")
  }

  private var requirement: String {
    let outside = exception.map { "\($0.value) or " } ?? ""
    return switch interval {
    case .any: "be a finite \(Number.noun), not"
    case .positive: "be \(outside)positive, not"
    case .atLeast(let least) where least == .zero: "not be negative, but is"
    case .atLeast(let least): "be \(outside)at least \(least.value), but is"
    case .closed(let range): "be between \(range.lowerBound.value) and \(range.upperBound.value), but is"
    case .halfOpen: "be a \(words), but is"
    }
  }

  // MARK: Description

  /// The range as in tables: `integer ≥ 1`, `number in [0, 1)`.
  var words: String {
    let isWhole = Number.self == Int.self
    let interval =
      switch interval {
      case .any: ""
      case .positive: isWhole ? " ≥ 1" : " > 0"
      case .atLeast(let least): " ≥ \(least.value)"
      case .closed(let range): " from \(range.lowerBound.value) to \(range.upperBound.value)"
      case .halfOpen(let range): " in [\(range.lowerBound.value), \(range.upperBound.value))"
      }
    let outside = exception.map { "\($0.value) or " } ?? ""
    let most = limit.flatMap { $0 < .usualLimit ? ", at most \($0.value)" : nil } ?? ""
    return outside + Number.noun + interval + most
  }
}
