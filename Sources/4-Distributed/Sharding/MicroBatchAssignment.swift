/// Assignment of a step's micro-batches to ranks. It does not change the results.
public struct MicroBatchAssignment: Sendable, Equatable {
  /// The number of micro-batches by rank.
  public let counts: [Int]
  /// Micro-steps of a step: max micro-batches per rank.
  public var microSteps: Int { counts.max() ?? 0 }

  /// Even assignment: all ranks get the same number, the first ones one more if there is a remainder.
  public init(microBatches: Int, ranks: Int) {
    counts = (0..<ranks).map { (microBatches + ranks - 1 - $0) / ranks }
  }

  /// Straggler-balanced assignment: minimises the time at which the last rank finishes.
  ///
  /// - Parameter seconds: by rank, the time of one micro-batch; positive.
  public init(microBatches: Int, seconds: [Double]) {
    var counts = Array(repeating: 0, count: seconds.count)
    for _ in 0..<microBatches {
      // The rank that would finish first with one more; ties go to the lowest.
      let next = counts.indices.min {
        (Double(counts[$0] + 1) * seconds[$0], $0) < (Double(counts[$1] + 1) * seconds[$1], $1)
      }
      if let next { counts[next] += 1 }
    }
    self.counts = counts
  }

  /// The seconds until the last rank finishes, without waiting for other ranks.
  public func duration(_ seconds: [Double]) -> Double {
    zip(counts, seconds).map { Double($0) * $1 }.max() ?? 0
  }

  /// The micro-batches of `rank`, by micro-step: in each, the ranks that have one left get the next ones in rank order.
  public func microBatches(of rank: Int) -> [Int] {
    var first = 0
    return (0..<counts[rank]).map { microStep in
      defer { first += counts.count { $0 > microStep } }
      return first + counts[..<rank].count { $0 > microStep }
    }
  }
}
