/// Which rank computes which micro-batches of a step. It decides who computes, never what is computed.
public struct MicroBatchAssignment: Sendable, Equatable {
  /// By rank.
  public let counts: [Int]
  /// Micro-batches of the rank that has most.
  public var microSteps: Int { counts.max() ?? 0 }

  /// All ranks get the same number, the first ones one more where that cannot be.
  public init(microBatches: Int, ranks: Int) {
    counts = (0..<ranks).map { (microBatches + ranks - 1 - $0) / ranks }
  }

  /// Deals so that the last rank to finish finishes as early as possible.
  ///
  /// - Parameter seconds: by rank, what one micro-batch takes there; positive.
  public init(microBatches: Int, seconds: [Double]) {
    var counts = Array(repeating: 0, count: seconds.count)
    for _ in 0..<microBatches {
      // The one that would be done first with one more; the lowest of several.
      let next = counts.indices.min {
        (Double(counts[$0] + 1) * seconds[$0], $0) < (Double(counts[$1] + 1) * seconds[$1], $1)
      }
      if let next { counts[next] += 1 }
    }
    self.counts = counts
  }

  /// Seconds until the last rank is done, without what ranks wait for each other.
  public func duration(_ seconds: [Double]) -> Double {
    zip(counts, seconds).map { Double($0) * $1 }.max() ?? 0
  }

  /// The micro-batches of `rank`, in the order of micro-steps: in each the ranks that take part get the next ones.
  public func microBatches(of rank: Int) -> [Int] {
    var first = 0
    return (0..<counts[rank]).map { microStep in
      defer { first += counts.count { $0 > microStep } }
      return first + counts[..<rank].count { $0 > microStep }
    }
  }
}
