public import Models

/// Who sends how many rows to whom in one round.
public struct DispatchPlan: Sendable {
  /// By chunk, the rows that come from other ranks, ordered by source, then by expert; there are no empty segments.
  public let received: [[ExpertSegment]]
  /// By chunk and rank of the group, the own rows that it gets, and the visiting rows that come from it.
  public let outgoing: [[Range<Int>]]
  public let incoming: [[Range<Int>]]

  /// Experts that are computed with elsewhere than where they are, of all ranks.
  public let shadows: [ExpertShadow]
  /// The own rows that this rank computes with a borrowed expert; they are the last of all.
  public let hosted: ExpertSegment?
  /// Experts that this rank lends, one for each borrower, in the order of their gradients.
  public let shadowed: [ExpertShadow]

  /// The most rows that any rank of the group sends or gets.
  public let largest: Int

  /// - Parameters:
  ///   - counts: `[ranks][experts]`: how many rows of each rank's micro-batch chose each expert.
  ///   - experts: by rank, the experts that it computes: consecutive ranges that cover all of them.
  ///   - chunks: into how many parts each rank's experts are cut.
  ///   - shadows: experts that are lent, each first or last of its part.
  public init(
    counts: [[Int]], experts: [Range<Int>], rank: Int, chunks: Int, shadows: [ExpertShadow] = []
  ) {
    func isShadowed(_ expert: Int, _ source: Int) -> Bool {
      shadows.contains { $0.expert == expert && $0.host == source }
    }
    let offsets = Self.offsets(counts[rank])
    let first = counts[rank][experts[rank]].reduce(0, +)  // behind the own rows, which the round knows
    var received: [[ExpertSegment]] = []
    var incoming: [[Range<Int>]] = []
    var next = 0
    for chunk in 0..<chunks {
      var segments: [ExpertSegment] = []
      var sources: [Range<Int>] = []
      for source in counts.indices {
        let start = next
        for expert in Self.part(chunk, of: experts[rank], parts: chunks)
        where source != rank && counts[source][expert] > 0 && !isShadowed(expert, source) {
          let end = next + counts[source][expert]
          segments.append(
            ExpertSegment(expert: expert, source: source, rows: first + next..<first + end, origin: next..<end))
          next = end
        }
        sources.append(start..<next)
      }
      received.append(segments)
      incoming.append(sources)
    }
    hosted = shadows.first { $0.host == rank }.map { shadow in
      let origin = offsets[shadow.expert]..<offsets[shadow.expert + 1]
      let rows = first + next..<first + next + origin.count
      return ExpertSegment(expert: shadow.expert, source: rank, rows: rows, origin: origin)
    }
    shadowed = shadows.filter { $0.owner == rank }
    self.shadows = shadows
    // Not fewer than travel with shadows.
    let arrivals = experts.map { experts in counts.reduce(0) { $0 + $1[experts].reduce(0, +) } }
    largest = max(arrivals.max() ?? 0, counts.map { $0.reduce(0, +) }.max() ?? 0)
    self.received = received
    self.incoming = incoming
    outgoing = (0..<chunks).map { chunk in
      experts.indices.map { destination in
        var part = Self.part(chunk, of: experts[destination], parts: chunks)
        if let first = part.first, isShadowed(first, rank) { part.removeFirst() }
        if let last = part.last, isShadowed(last, rank) { part.removeLast() }
        let end = destination == rank ? part.lowerBound : part.upperBound
        return offsets[part.lowerBound]..<offsets[end]
      }
    }
  }

  /// `[experts + 1]`: where each expert's rows begin.
  fileprivate static func offsets(_ counts: [Int]) -> [Int] {
    counts.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
  }

  /// Part `index` of a range that is cut into `parts` of about the same size.
  public static func part(_ index: Int, of range: Range<Int>, parts: Int) -> Range<Int> {
    range.lowerBound + index * range.count / parts..<range.lowerBound + (index + 1) * range.count / parts
  }
}

/// A round under way: what this rank knows of it by itself, and then the plan.
public final class TokenDispatch: Sendable {
  /// In parts, the own rows whose experts are here. In memory they stand in front of the rows that visit.
  public let own: [[ExpertSegment]]
  /// Chunks in which the others travel.
  public let chunks: Int
  /// Set by the dispatcher, perhaps on a thread of its own; to be used when a transfer of the round has been waited for.
  public nonisolated(unsafe) var plan: DispatchPlan?

  /// - Parameters:
  ///   - counts: `[experts]`: how many own rows chose each expert.
  ///   - experts: those that are computed here.
  ///   - parts: into which the own rows are cut.
  public init(counts: [Int], experts: Range<Int>, rank: Int, chunks: Int, parts: Int) {
    self.chunks = chunks
    let offsets = DispatchPlan.offsets(counts)
    let first = offsets[experts.lowerBound]
    let own = (0..<parts).map { part in
      DispatchPlan.part(part, of: experts, parts: parts).compactMap { expert in
        let origin = offsets[expert]..<offsets[expert + 1]
        let rows = origin.lowerBound - first..<origin.upperBound - first
        return rows.isEmpty ? nil : ExpertSegment(expert: expert, source: rank, rows: rows, origin: origin)
      }
    }
    self.own = own.filter { !$0.isEmpty }
  }

  /// All of them, of this rank's own rows.
  var local: Range<Int> { Array(own.joined()).origin }

  /// The plan, once there is one.
  public var agreed: DispatchPlan {
    guard let plan else { preconditionFailure("the round has not been agreed yet") }
    return plan
  }
}
