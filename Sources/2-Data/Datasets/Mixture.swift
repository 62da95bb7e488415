import Support

/// Deals an endless stream of places to weighted sources: every cycle of places holds a whole number of places for each
/// source, so any cycle has the right proportions and every place can be found without looking at the ones before.
struct Mixture: Sendable {
  /// A place's source, and how many places the source had before it in the stream.
  struct Draw: Equatable {
    var source: Int
    var ordinal: Int
  }

  /// Places of each source in a cycle.
  let quotas: [Int]
  let cycleLength: Int

  /// A cycle grows from the first length, doubling, until the lightest source has `sufficientQuota` places in it.
  private static let cycleLengths = (first: 1 << 10, last: 1 << 24)
  private static let sufficientQuota = 16

  /// Throws `badInput` when a weight is not a positive number or is negligible beside the others.
  init(weights: [Double]) throws {
    precondition(!weights.isEmpty)
    for weight in weights where !(weight.isFinite && weight > 0) {
      throw ForgeError.badInput("a data source's weight must be a positive number, not \(weight)")
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
        "a data source's weight is less than one part in \(Self.cycleLengths.last) of all weights together")
    }
    var length = Self.cycleLengths.first
    while length < Self.cycleLengths.last, smallest * Double(length) < Double(Self.sufficientQuota) { length *= 2 }
    cycleLength = length
    quotas = Self.largestRemainders(shares: shares, total: length)
  }

  /// Whole numbers near `shares * total` that add up to `total`: each rounded down, the places left over given to the
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

  /// The draw at a place of the stream. With a key the places of a cycle are shuffled, differently in each cycle;
  /// without, the sources have their places one after another.
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
