import Foundation

/// A validation set: a dataset, its weight, and how many of its sequences are used.
public struct ValidationSet: Sendable, Equatable {
  /// The last component of its path, or the path as given where another set has that component too.
  public let name: String
  /// Its weight in the mean over all sets; the weights need not add up to 1.
  public let weight: Double
  /// Whole sequences in the dataset.
  public let available: Int
  /// Sequences that are used; 0 only when there are none.
  public let used: Int

  /// The index in the dataset of the used sequence `place`: the middle of one of `used` equal ranges.
  func sequence(at place: Int) -> Int {
    precondition(place >= 0 && place < used)
    let product = (2 * place + 1).multipliedFullWidth(by: available)
    return (2 * used).dividingFullWidth(product).quotient
  }

  /// The validation sets of some sources, with `sequences` apportioned among them.
  ///
  /// - Parameters:
  ///   - available: whole sequences of each.
  ///   - sequences: the max number, but at least one of each set that has one.
  static func sets(of sources: [DataSource], available: [Int], sequences: Int) -> [ValidationSet] {
    let used = shares(of: sequences, weights: sources.map(\.weight), available: available)
    return zip(names(of: sources.map(\.path)), sources.indices).map { name, index in
      ValidationSet(name: name, weight: sources[index].weight, available: available[index], used: used[index])
    }
  }

  /// Unique names for paths.
  static func names(of paths: [String]) -> [String] {
    func counts(_ names: [String]) -> [String: Int] { names.reduce(into: [:]) { $0[$1, default: 0] += 1 } }
    let last = paths.map { ($0 as NSString).lastPathComponent }
    let shared = counts(last)
    var used: [String: Int] = [:]
    return zip(paths, last).map { path, last in
      let name = shared[last] == 1 ? last : path
      used[name, default: 0] += 1
      // The same dataset again.
      return used[name] == 1 ? name : "\(name) (\(used[name] ?? 0))"
    }
  }

  /// Apportions `total` by weight and largest remainders: at least 1 to each and at most what is available. What
  /// exceeds one set's sequences goes to the others.
  static func shares(of total: Int, weights: [Double], available: [Int]) -> [Int] {
    var shares = available.map { min($0, 1) }
    var open = available.indices.filter { available[$0] > 0 }
    var left = max(min(total, available.reduce(0, +)), open.count)
    while !open.isEmpty {
      // Those that would get less than 1 get 1, at the cost of the others.
      var (sharing, rest) = (open, left)
      func exact() -> [Double] {
        let weight = sharing.reduce(0) { $0 + weights[$1] }
        return sharing.map { weights[$0] / weight }
      }
      while true {
        let small = zip(sharing, exact()).filter { $1 * Double(rest) < 1 }.map(\.0)
        guard !small.isEmpty else { break }
        sharing.removeAll(where: small.contains)
        rest -= small.count
      }
      let full = zip(sharing, exact()).filter { $1 * Double(rest) >= Double(available[$0]) }.map(\.0)
      guard !full.isEmpty else {
        for (set, share) in zip(sharing, Mixture.largestRemainders(shares: exact(), total: rest)) {
          shares[set] = share
        }
        break
      }
      for set in full {
        shares[set] = available[set]
        left -= available[set]
      }
      open.removeAll(where: full.contains)
    }
    return shares
  }
}
