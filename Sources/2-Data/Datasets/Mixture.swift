import Support

/// A weighted mixture of sources: assigns the positions of an endless stream to sources. Every cycle has a whole number
/// of positions for each source, so each cycle has the right proportions, and a position's source is computed without
/// those before it.
struct Mixture: Sendable {
  /// A position's source, and how many positions of the stream the source had before it.
  struct Draw: Equatable {
    var source: Int
    var ordinal: Int
  }

  /// Positions of each source in a cycle.
  let quotas: [Int]
  let cycleLength: Int

  /// The min and max cycle length, which doubles until the lightest source has `sufficientQuota` positions in it.
  private static let cycleLengths = (first: 1 << 10, last: 1 << 24)
  private static let sufficientQuota = 16

  /// Throws `badInput` when a weight is not a positive number or is negligible beside the others.
  init(weights: [Double]) throws {
    precondition(!weights.isEmpty)
    for weight in weights where !(weight.isFinite && weight > 0) {
      throw ForgeError.badInput(
        "a data source's weight must be a positive number, not \(weight)", code: .invalidSetting)
    }
    guard weights.count > 1 else {
      (quotas, cycleLength) = ([1], 1)
      return
    }
    let total = weights.reduce(0, +)
    let shares = weights.map { $0 / total }
    let smallest = shares.min() ?? 0
    guard smallest * Double(Self.cycleLengths.last) >= 1 else {
      throw ForgeError.badInput(
        "a data source's weight is less than one part in \(Self.cycleLengths.last) of all weights together",
        code: .invalidSetting)
    }
    var length = Self.cycleLengths.first
    while length < Self.cycleLengths.last, smallest * Double(length) < Double(Self.sufficientQuota) { length *= 2 }
    cycleLength = length
    quotas = Self.largestRemainders(shares: shares, total: length)
  }

  /// Apportionment by largest remainders: `shares * total` rounded down, and what is left of `total` given to the
  /// largest remainders, ties to the lower index.
  static func largestRemainders(shares: [Double], total: Int) -> [Int] {
    let exact = shares.map { $0 * Double(total) }
    var quotas = exact.map { Int($0) }
    let byRemainder = exact.indices.sorted {
      let (first, second) = (exact[$0] - Double(quotas[$0]), exact[$1] - Double(quotas[$1]))
      return first == second ? $0 < $1 : first > second
    }
    for source in byRemainder.prefix(max(0, total - quotas.reduce(0, +))) { quotas[source] += 1 }
    return quotas
  }

  /// The draw at a position of the stream. With a key the positions of each cycle are shuffled in another order;
  /// without one, the sources' positions are consecutive.
  func draw(at place: Int, shuffledBy key: UInt64?) -> Draw {
    let (cycle, offset) = place.quotientAndRemainder(dividingBy: cycleLength)
    var slot = offset
    if let key, quotas.count > 1 {
      slot = Permutation(count: cycleLength, key: combine(key, UInt64(cycle)))(offset)
    }
    var source = 0
    while slot >= quotas[source] {
      slot -= quotas[source]
      source += 1
    }
    return Draw(source: source, ordinal: cycle * quotas[source] + slot)
  }
}
