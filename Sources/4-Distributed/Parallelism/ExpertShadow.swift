/// A shadowed expert: the host computes it for its own rows, which reduces the load of the owner.
///
/// Ranks wait for the busiest one, and the experts' loads change from micro-batch to micro-batch, so no fixed placement
/// balances them. The host receives the expert's weights, computes its own rows of that expert, and returns the
/// weights' gradient, which the owner adds to its exact sums: the same arithmetic elsewhere, hence the same bits. (He
/// et al. 2022, "FasterMoE", dynamic shadowing.)
public struct ExpertShadow: Sendable, Equatable {
  public let expert: Int
  /// Ranks in the group that shares the experts.
  public let owner: Int
  public let host: Int

  /// Max shadowed experts per owner and layer, which is how many gradients return to it at a time. A rank hosts at most
  /// one.
  public static let maxShadowed = 2
}

/// Selects the experts to shadow: the same on every rank that shares the experts.
public struct ShadowSelection: Sendable {
  /// By rank, its local experts.
  private let experts: [Range<Int>]
  private let chunks: Int
  private let minRows: Int
  /// By rank, its lag behind the least busy rank after the layers so far. Ranks need not be in step after each layer:
  /// an excess in this layer can be balanced in the next.
  private var backlog: [Int]
  private var knowsTimings = false

  /// - Parameters:
  ///   - experts: by rank, its local experts.
  ///   - chunks: the number of parts that each rank's experts are split into: only an expert at an end of its part can
  ///     be shadowed, so that the rows that are sent stay contiguous.
  ///   - minRows: min reduction, in rows, of the later of the two ranks.
  public init(experts: [Range<Int>], chunks: Int, minRows: Int) {
    self.experts = experts
    self.chunks = chunks
    self.minRows = max(1, minRows)
    backlog = experts.map { _ in 0 }
  }

  /// Greedily shadows an expert of the rank that would finish last, as long as that helps.
  ///
  /// - Parameters:
  ///   - counts: `[ranks][experts]`: the rows of each rank's micro-batch routed to each expert of a layer.
  ///   - timings: by rank, whole numbers so that all ranks choose alike. All ranks count as equally fast until all
  ///     timings are known.
  public mutating func choose(_ counts: [[Int]], timings: [ExpertTiming] = []) -> [ExpertShadow] {
    let isKnown = timings.count == experts.count && timings.allSatisfy { $0.row > 0 }
    if isKnown != knowsTimings { backlog = experts.map { _ in 0 } }  // its unit of measure changes
    knowsTimings = isKnown
    // Loads: nanoseconds once timings are known, rows before.
    let row = isKnown ? timings.map { Int($0.row) } : experts.map { _ in 1 }
    var loads = experts.indices.map { rank in
      counts.reduce(0) { $0 + $1[experts[rank]].reduce(0, +) } * row[rank]
    }
    // A rank can be ahead of another by no more than the time of its local rows.
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
