import Foundation

/// Load-balance statistics of one layer's experts.
public struct ExpertLoad: Sendable, Equatable {
  /// The max load over the mean: 1 when all experts have the same, the number of experts when one has all.
  public let largestOverMean: Double
  /// The normalised entropy −Σ p log p / log E of the shares p: 1 when all experts have the same, 0 when one has all.
  public let entropy: Double
  /// Experts without tokens.
  public let unused: Int

  /// - Parameter counts: `[experts]`: the tokens of each. Without tokens the ratio and the entropy are 0.
  public init(counts: some Collection<Int>) {
    let total = Double(counts.reduce(0, +))
    unused = counts.count { $0 == 0 }
    largestOverMean = total > 0 ? Double(counts.max() ?? 0) * Double(counts.count) / total : 0
    let shares = counts.filter { $0 > 0 }.map { Double($0) / total }
    let sum = shares.reduce(0) { $0 - $1 * log($1) }
    entropy = counts.count > 1 ? max(0, sum) / log(Double(counts.count)) : Double(shares.count)
  }

  /// - Parameter counts: `[sparse layers, experts]`, row by row.
  public static func layers(_ counts: [Int], experts: Int) -> [ExpertLoad] {
    guard experts > 0 else { return [] }
    precondition(counts.count % experts == 0, "a count for every expert of every layer")
    return stride(from: 0, to: counts.count, by: experts).map { ExpertLoad(counts: counts[$0..<$0 + experts]) }
  }
}
