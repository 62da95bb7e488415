public import Models

/// Sharding plan of the parameter arena: by unit and rank, the shard and the compute, resident and update ranges.
///
/// Every element has one *owner*: the rank that gets its reduced gradient, writes it to checkpoints and, with sharded
/// optimizer state, has its moments and updates it. A rank's *shard* of a unit is the contiguous range, perhaps empty,
/// that it owns. Shards consist of whole *blocks*, or of whole matrices where the optimizer needs them; sums over
/// blocks do not depend on the sharding.
public struct ShardingPlan: Sendable {
  /// Elements of a block. Blocks start at the start of each tensor; its last one may be shorter.
  public static let blockSize = 16_384

  public let layout: ParameterLayout
  public let experts: ExpertPlacement
  public let stage: ZeROStage
  /// The shards, by unit, then by rank.
  public let shards: [[Range<Int>]]
  public var ranks: Int { experts.ranks }
  /// The layer of each unit of experts.
  private let layerOfExperts: [Int: Int]

  /// Shards each unit over its holders, balancing the totals: ranks that own least so far get most.
  ///
  /// - Parameter wholeMatrices: whether each hidden matrix has one owner.
  public init(
    layout: ParameterLayout, experts: ExpertPlacement, stage: ZeROStage, wholeMatrices: Bool = false
  ) {
    self.layout = layout
    self.experts = experts
    self.stage = stage
    var totals = [Int](repeating: 0, count: experts.ranks)
    let layers = Dictionary(
      uniqueKeysWithValues: layout.blocks.indices.compactMap { layer in layout.expertsUnit(layer).map { ($0, layer) } }
    )
    layerOfExperts = layers
    shards = layout.units.enumerated().map { index, unit in
      guard let layer = layers[index] else {
        let boundaries = Self.boundaries(of: unit, layout, wholeMatrices)
        return Self.deal(boundaries, to: Array(0..<experts.ranks), &totals)
      }
      var shards = [Range<Int>](repeating: unit.lowerBound..<unit.lowerBound, count: experts.ranks)
      for place in 0..<experts.degree {
        let range = layout.experts(experts.experts(at: place), layer: layer)
        let ranks = experts.ranks(at: place)
        let parts = Self.deal(Self.boundaries(of: range, layout, wholeMatrices), to: ranks, &totals)
        for (rank, part) in zip(ranks, parts) { shards[rank] = part }
      }
      return shards
    }
  }

  /// The allowed shard boundaries within a range of whole tensors, its ends included.
  private static func boundaries(of range: Range<Int>, _ layout: ParameterLayout, _ wholeMatrices: Bool) -> [Int] {
    [range.lowerBound]
      + layout.parts(of: range.isEmpty ? [] : [range]).flatMap { tensor, part -> [Int] in
        if wholeMatrices, tensor.role == .hidden { return [part.upperBound] }
        return stride(from: part.lowerBound + blockSize, to: part.upperBound, by: blockSize) + [part.upperBound]
      }
  }

  /// Splits a range at some of its boundaries into a part per rank, so that the totals become about equal.
  private static func deal(_ boundaries: [Int], to ranks: [Int], _ totals: inout [Int]) -> [Range<Int>] {
    let (start, end) = (boundaries[0], boundaries[boundaries.count - 1])
    let order = ranks.indices.sorted { (totals[ranks[$0]], $0) < (totals[ranks[$1]], $1) }
    // The common total to which the ranks with least are filled up.
    var (level, room, filled) = (0, end - start, 0)
    for (place, index) in order.enumerated() {
      let next = totals[ranks[index]]
      if place > 0, (next - level) * place >= room { break }
      if place > 0 { room -= (next - level) * place }
      level = next
      filled = place + 1
    }
    var parts = [Range<Int>](repeating: end..<end, count: ranks.count)
    var (first, wanted) = (0, Double(start))
    for (place, index) in order.enumerated().prefix(filled) {
      wanted += Double(level - totals[ranks[index]]) + Double(room) / Double(filled)
      var last = first
      while last + 1 < boundaries.count,
        place + 1 == filled || Double(boundaries[last] + boundaries[last + 1]) / 2 <= wanted
      { last += 1 }
      parts[index] = boundaries[first]..<boundaries[last]
      totals[ranks[index]] += parts[index].count
      first = last
    }
    return parts
  }

  // MARK: Ranges of a rank

  /// The compute range: the part of a unit that a rank computes with, which is all of it, or the rank's experts.
  public func computeRange(unit: Int, by rank: Int) -> Range<Int> {
    guard let layer = layerOfExperts[unit] else { return layout.units[unit] }
    return layout.experts(experts.experts(of: rank), layer: layer)
  }

  /// The violated limit of the plan, as text; nil when it is valid.
  public var violation: (problem: String, hint: String)? {
    let isTooLarge = layout.units.indices.contains { unit in
      (0..<experts.degree).contains { computeRange(unit: unit, by: $0).count > Int(Int32.max) }
    }
    return isTooLarge
      ? (
        "a rank's part of one layer has more than 2,147,483,647 parameters, which one exchange cannot carry",
        "use a larger parallelism.expert, or a number of ranks that has one as a divisor"
      ) : nil
  }

  /// The resident range: the part of a unit whose parameters and gradient sums a rank keeps between steps.
  public func resident(unit: Int, by rank: Int) -> Range<Int> {
    stage == .full ? shards[unit][rank] : computeRange(unit: unit, by: rank)
  }

  /// The update range: the part of a unit that a rank updates, and whose moments it has.
  public func updateRange(unit: Int, by rank: Int) -> Range<Int> {
    stage == .none ? computeRange(unit: unit, by: rank) : shards[unit][rank]
  }

  /// The ranks with the same compute range of a unit as `rank`, in order.
  public func holders(unit: Int, of rank: Int) -> [Int] {
    layerOfExperts[unit] == nil ? Array(0..<ranks) : experts.ranks(at: experts.place(of: rank))
  }

  /// The resident ranges of a rank, adjacent ones merged.
  public func residentRuns(by rank: Int) -> [Range<Int>] {
    let parts = layout.units.indices.map { resident(unit: $0, by: rank) }.filter { !$0.isEmpty }
    return parts.sorted { $0.lowerBound < $1.lowerBound }.reduce(into: []) { runs, part in
      if let last = runs.last, last.upperBound >= part.lowerBound {
        runs[runs.count - 1] = last.lowerBound..<max(last.upperBound, part.upperBound)
      } else {
        runs.append(part)
      }
    }
  }

  /// Whether the arenas of parameters and gradient sums use huge pages throughout: when they are fully resident, or in
  /// ranges far longer than a page.
  public var usesHugePages: Bool {
    if stage != .full, experts.degree == 1 { return true }
    let longest = layout.units.indices.map { resident(unit: $0, by: 0).count }.max() ?? 0
    return 4 * longest >= 1 << 28
  }

  /// Whether a unit consists of experts.
  public func isExperts(_ unit: Int) -> Bool { layerOfExperts[unit] != nil }
}
