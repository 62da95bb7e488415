import Models
import Testing

@testable import Parallelism

@Suite struct DispatchPlanTests {
  // Three ranks with 2, 1 and 2 of 5 experts; the second rank's micro-batch has no rows, expert 3 gets none at all.
  private static let counts = [[3, 1, 0, 0, 2], [0, 0, 0, 0, 0], [1, 4, 2, 0, 5]]
  private static let experts = [0..<2, 2..<3, 3..<5]

  /// - Parameter minRows: nil without shadowing.
  private static func plan(_ rank: Int, chunks: Int, minRows: Int? = nil) -> DispatchPlan {
    var shadowSelection = minRows.map { ShadowSelection(experts: experts, chunks: chunks, minRows: $0) }
    return DispatchPlan(
      counts: counts, experts: experts, rank: rank, chunks: chunks, shadows: shadowSelection?.choose(counts) ?? [])
  }

  private static func own(_ rank: Int, chunks: Int) -> [[ExpertSegment]] {
    // Parts for the computation: they need not be the chunks of a dispatch.
    TokenDispatch(counts: counts[rank], experts: experts[rank], rank: rank, chunks: chunks, parts: 4 - chunks).own
  }

  /// The rows that one rank sends are those that the other receives, and no rank sends to itself.
  @Test(arguments: [1, 2, 3], [nil, 1]) func ranksAgree(chunks: Int, minRows: Int?) {
    let plans = (0..<3).map { Self.plan($0, chunks: chunks, minRows: minRows) }
    for chunk in 0..<chunks {
      for source in 0..<3 {
        for destination in 0..<3 {
          let sent = plans[source].outgoing[chunk][destination]
          let received = plans[destination].incoming[chunk][source]
          #expect(sent.count == received.count, "chunk \(chunk) from \(source) to \(destination)")
          #expect(source != destination || sent.isEmpty)
        }
      }
    }
  }

  /// Every own row is sent exactly once, to the rank of its expert, and received in the segment of its micro-batch and
  /// expert, unless that expert is local or hosted for it.
  @Test(arguments: [1, 2, 3], [nil, 1]) func everyRowArrivesOnceAtItsExpert(chunks: Int, minRows: Int?) {
    let plans = (0..<3).map { Self.plan($0, chunks: chunks, minRows: minRows) }
    for source in 0..<3 {
      // The own rows, in expert order, by the expert that each chose.
      let rows = Self.counts[source].enumerated().flatMap { Array(repeating: $0, count: $1) }
      var sent: [Int] = []
      for segment in Self.own(source, chunks: chunks).joined() {
        sent += segment.origin
        #expect(segment.origin.allSatisfy { rows[$0] == segment.expert } && segment.source == source)
        #expect(segment.origin.count == segment.rows.count && Self.experts[source].contains(segment.expert))
      }
      if let segment = plans[source].hosted {
        sent += segment.origin
        #expect(segment.origin.allSatisfy { rows[$0] == segment.expert } && segment.source == source)
        #expect(segment.origin.count == segment.rows.count && !Self.experts[source].contains(segment.expert))
      }
      for destination in 0..<3 {
        let arrival = plans[destination]
        for chunk in 0..<chunks {
          let outgoing = plans[source].outgoing[chunk][destination]
          let incoming = arrival.incoming[chunk][source]
          sent += outgoing
          for (own, received) in zip(outgoing, incoming) {
            let segment = arrival.received[chunk].first { $0.origin.contains(received) }
            #expect(segment?.expert == rows[own] && segment?.source == source)
            #expect(Self.experts[destination].contains(rows[own]))
          }
        }
      }
      #expect(sent.sorted() == Array(rows.indices))
    }
  }

  @Test(arguments: [1, 2, 3], [nil, 1]) func segmentsFillTheRows(chunks: Int, minRows: Int?) {
    for rank in 0..<3 {
      let plan = Self.plan(rank, chunks: chunks, minRows: minRows)
      let received = plan.received.joined()
      let hosted = plan.hosted.map { Array($0.rows) } ?? []
      let held = Self.counts.reduce(0) { $0 + $1[Self.experts[rank]].reduce(0, +) }
      let shadowed = plan.shadowed.reduce(0) { $0 + Self.counts[$1.host][$1.expert] }
      let computed = Self.own(rank, chunks: chunks).joined().flatMap(\.rows) + received.flatMap(\.rows) + hosted
      #expect(computed == Array(0..<held - shadowed + hosted.count))
      let origins = received.flatMap(\.origin)
      #expect(origins == Array(0..<origins.count))
      #expect(received.allSatisfy { $0.rows.count == $0.origin.count && !$0.rows.isEmpty && $0.source != rank })
    }
  }
}
