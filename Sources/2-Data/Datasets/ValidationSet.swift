import Foundation

/// A validation set: a dataset, and how many of its sequences a model is validated on.
public struct ValidationSet: Sendable, Equatable {
  /// The last component of its path, or the path as it is written where that is another set's too.
  public let name: String
  /// Its share in the mean over all sets, whatever the weights add up to.
  public let weight: Double
  /// Whole sequences in the dataset.
  public let available: Int
  /// Sequences that are used; 0 only where there are none.
  public let used: Int

  /// The number within the dataset of the sequence at `place` of those used: the middle of the place's equal share of the
  /// dataset.
  func sequence(at place: Int) -> Int {
    precondition(place >= 0 && place < used)
    let product = (2 * place + 1).multipliedFullWidth(by: available)
    return (2 * used).dividingFullWidth(product).quotient
  }

  /// The sets of some sources, with `sequences` shared out among them.
  ///
  /// - Parameters:
  ///   - available: whole sequences of each.
  ///   - sequences: at most so many, but one of each set that has one.
  static func sets(of sources: [DataSource], available: [Int], sequences: Int) -> [ValidationSet] {
    let used = shares(of: sequences, weights: sources.map(\.weight), available: available)
    return zip(names(of: sources.map(\.path)), sources.indices).map { name, index in
      ValidationSet(name: name, weight: sources[index].weight, available: available[index], used: used[index])
    }
  }

  /// Names that differ, whatever the paths have in common.
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

  /// Shares `total` out in proportion to the weights, by largest remainders: to each at least 1 and at most what is
  /// available. What one cannot take goes to the others.
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
