public import Models

/// Token dispatch plan of one micro-step: which rows each rank sends and receives, and the shadowed experts.
public struct DispatchPlan: Sendable {
  /// By chunk, the rows received from other ranks, ordered by source, then by expert; without empty segments.
  public let received: [[ExpertSegment]]
  /// By chunk and rank of the group, the own rows sent to it, and the received rows that come from it.
  public let outgoing: [[Range<Int>]]
  public let incoming: [[Range<Int>]]

  /// The shadowed experts of all ranks.
  public let shadows: [ExpertShadow]
  /// The own rows that this rank computes with an expert it hosts; in memory they are behind all others.
  public let hosted: ExpertSegment?
  /// This rank's experts that are shadowed, one per host, in the order of their gradients.
  public let shadowed: [ExpertShadow]

  /// An upper bound of the rows that any rank of the group sends or receives; the same on every rank.
  public let largest: Int

  /// - Parameters:
  ///   - counts: `[ranks][experts]`: the rows of each rank's micro-batch routed to each expert.
  ///   - experts: by rank, its local experts: consecutive ranges that cover all of them.
  ///   - chunks: the number of parts that each rank's experts are split into.
  ///   - shadows: the shadowed experts, each first or last of its part.
  public init(
    counts: [[Int]], experts: [Range<Int>], rank: Int, chunks: Int, shadows: [ExpertShadow] = []
  ) {
    func isShadowed(_ expert: Int, _ source: Int) -> Bool {
      shadows.contains { $0.expert == expert && $0.host == source }
    }
    let offsets = Self.offsets(counts[rank])
    let first = counts[rank][experts[rank]].reduce(0, +)  // behind the local rows of the dispatch
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
    // Shadows only reduce these.
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

  /// `[experts + 1]`: the offsets of the experts' rows.
  fileprivate static func offsets(_ counts: [Int]) -> [Int] {
    counts.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
  }

  /// Part `index` of a range that is split into `parts` of about the same size.
  public static func part(_ index: Int, of range: Range<Int>, parts: Int) -> Range<Int> {
    range.lowerBound + index * range.count / parts..<range.lowerBound + (index + 1) * range.count / parts
  }
}

/// The token dispatch of one layer and micro-step: this rank's local rows, and the plan once counts are exchanged.
public final class TokenDispatch: Sendable {
  /// In parts, the own rows of local experts. In memory they precede the received rows.
  public let own: [[ExpertSegment]]
  /// The number of chunks of the rows that are sent.
  public let chunks: Int
  /// Set by the dispatcher, perhaps on its own thread; to be read after waiting for a transfer of this dispatch.
  public nonisolated(unsafe) var plan: DispatchPlan?

  /// - Parameters:
  ///   - counts: `[experts]`: the own rows routed to each expert.
  ///   - experts: the local experts.
  ///   - parts: the number of parts that the local rows are split into.
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

  /// The range of the local rows among this rank's own rows.
  var local: Range<Int> { Array(own.joined()).origin }

  /// The plan, which must have been set.
  public var agreed: DispatchPlan {
    guard let plan else { preconditionFailure("the round has not been agreed yet") }
    return plan
  }
}
