/// An expert that a rank borrows for its own rows, so that the rank that holds it has less to do.
///
/// Ranks wait for the busiest one, and how busy the experts are changes from micro-batch to micro-batch, so no fixed place
/// of theirs evens it out. A borrower gets the expert's weights, computes with them what its micro-batch wants of that
/// expert, and sends back the weights' gradient, which the lender adds to its exact sums: the same piece of arithmetic
/// elsewhere, hence the same bits. (He et al. 2022, "FasterMoE", dynamic shadowing.)
public struct ExpertShadow: Sendable, Equatable {
  public let expert: Int
  /// Places in the group of ranks that share the experts.
  public let owner: Int
  public let host: Int

  /// Experts of a layer that a rank lends at most: so many gradients come back to it at a time. It borrows one at most.
  public static let maxShadowed = 2
}

/// Chooses what is lent: the same on every rank that shares the experts.
public struct ShadowSelection: Sendable {
  /// By rank, the experts that it holds.
  private let experts: [Range<Int>]
  private let chunks: Int
  private let minRows: Int
  /// By rank, the time by which it will be later than the least busy one, after the layers so far. Ranks need not be
  /// level after each layer: what one has had too much of in this layer it can be spared in the next.
  private var backlog: [Int]
  private var knowsTimings = false

  /// - Parameters:
  ///   - experts: by rank, the experts that it holds.
  ///   - chunks: into how many parts each rank's experts are cut: an expert at an end of its part may be lent, so that
  ///     the rows that travel stay one run of memory.
  ///   - minRows: that lending must take off the busier of the two ranks.
  public init(experts: [Range<Int>], chunks: Int, minRows: Int) {
    self.experts = experts
    self.chunks = chunks
    self.minRows = max(1, minRows)
    backlog = experts.map { _ in 0 }
  }

  /// Takes rows off the rank that would be the last, again and again, as long as that helps.
  ///
  /// - Parameters:
  ///   - counts: `[ranks][experts]`: how many rows of each rank's micro-batch chose each expert of a layer.
  ///   - timings: of the ranks, whole numbers so that all of them choose alike. All ranks count as equally fast until
  ///     everybody's is known.
  public mutating func choose(_ counts: [[Int]], timings: [ExpertTiming] = []) -> [ExpertShadow] {
    let isKnown = timings.count == experts.count && timings.allSatisfy { $0.row > 0 }
    if isKnown != knowsTimings { backlog = experts.map { _ in 0 } }  // it is in another unit
    knowsTimings = isKnown
    // Times, in nanoseconds once paces are known.
    let row = isKnown ? timings.map { Int($0.row) } : experts.map { _ in 1 }
    var loads = experts.indices.map { rank in
      counts.reduce(0) { $0 + $1[experts[rank]].reduce(0, +) } * row[rank]
    }
    // No rank can be further ahead of another than the own rows that keep it busy.
    let most = loads.reduce(0, +) / (loads.count * loads.count)
    for rank in loads.indices {
      loads[rank] += min(backlog[rank], most)
      if isKnown, counts[rank].contains(where: { $0 > 0 }) { loads[rank] += 1000 * Int(timings[rank].preExpert) }
    }
    let minGain = minRows * row.reduce(0, +) / row.count
    var shadows: [ExpertShadow] = []
    while let owner = loads.indices.max(by: { (loads[$0], $1) < (loads[$1], $0) }),
      shadows.count(where: { $0.owner == owner }) < ExpertShadow.maxShadowed
    {
      let ends = Set(
        (0..<chunks).map { DispatchPlan.part($0, of: experts[owner], parts: chunks) }.filter { !$0.isEmpty }
          .flatMap { [$0.lowerBound, $0.upperBound - 1] })
      var best = (gain: 0, shadow: ExpertShadow?.none)
      for host in loads.indices where host != owner && !shadows.contains(where: { $0.host == host }) {
        for expert in ends.sorted() {
          let rows = counts[host][expert]
          let gain = loads[owner] - max(loads[owner] - rows * row[owner], loads[host] + rows * row[host])
          if gain > best.gain { best = (gain, ExpertShadow(expert: expert, owner: owner, host: host)) }
        }
      }
      guard best.gain >= minGain, let shadow = best.shadow else { break }
      let rows = counts[shadow.host][shadow.expert]
      loads[owner] -= rows * row[owner]
      loads[shadow.host] += rows * row[shadow.host]
      shadows.append(shadow)
    }
    let least = loads.min() ?? 0
    backlog = loads.map { $0 - least }
    return shadows
  }
}
