import Kernels
import Testing

@testable import Models

@Suite struct DispatchPlanTests {
  // Three ranks with 2, 1 and 2 of 5 experts; the second rank's micro-batch has no rows, expert 3 gets none at all.
  private static let counts = [[3, 1, 0, 0, 2], [0, 0, 0, 0, 0], [1, 4, 2, 0, 5]]
  private static let experts = [0..<2, 2..<3, 3..<5]

  private static func plan(_ rank: Int, chunks: Int, fewestRows: Int? = nil) -> DispatchPlan {
    DispatchPlan(counts: counts, experts: experts, rank: rank, chunks: chunks, fewestRows: fewestRows)
  }

  /// What one rank says it sends is what the other says it receives.
  @Test(arguments: [1, 2, 3], [nil, 1]) func ranksAgree(chunks: Int, fewestRows: Int?) {
    let plans = (0..<3).map { Self.plan($0, chunks: chunks, fewestRows: fewestRows) }
    for chunk in 0..<chunks {
      for source in 0..<3 {
        for destination in 0..<3 {
          let sent = plans[source].outgoing[chunk][destination]
          let received = plans[destination].incoming[chunk][source]
          #expect(sent.count == received.count, "chunk \(chunk) from \(source) to \(destination)")
        }
      }
    }
  }

  /// Every own row is sent exactly once, to the rank of its expert, and arrives in the segment of its micro-batch and
  /// expert, unless that expert is borrowed for it.
  @Test(arguments: [1, 2, 3], [nil, 1]) func everyRowArrivesOnceAtItsExpert(chunks: Int, fewestRows: Int?) {
    let plans = (0..<3).map { Self.plan($0, chunks: chunks, fewestRows: fewestRows) }
    for source in 0..<3 {
      // The own rows, in expert order, by the expert that each chose.
      let rows = Self.counts[source].enumerated().flatMap { Array(repeating: $0, count: $1) }
      var sent: [Int] = []
      if let (segment, ownRows) = plans[source].borrowed {
        sent += ownRows
        #expect(ownRows.allSatisfy { rows[$0] == segment.expert } && segment.source == source)
        #expect(ownRows.count == segment.rows.count && !Self.experts[source].contains(segment.expert))
      }
      for destination in 0..<3 {
        let arrival = plans[destination]
        for chunk in 0..<chunks {
          let outgoing = plans[source].outgoing[chunk][destination]
          let incoming = arrival.incoming[chunk][source]
          sent += outgoing
          for (own, arriving) in zip(outgoing, incoming) {
            let segment = arrival.segments[chunk].first { $0.rows.contains(arriving) }
            #expect(segment?.expert == rows[own] && segment?.source == source)
            #expect(Self.experts[destination].contains(rows[own]))
          }
        }
      }
      #expect(sent.sorted() == Array(rows.indices))
    }
  }

  @Test(arguments: [1, 2, 3], [nil, 1]) func segmentsFillTheArrivingRows(chunks: Int, fewestRows: Int?) {
    for rank in 0..<3 {
      let plan = Self.plan(rank, chunks: chunks, fewestRows: fewestRows)
      let borrowed = plan.borrowed.map { Array($0.segment.rows) } ?? []
      #expect(plan.segments.flatMap { $0.flatMap(\.rows) } + borrowed == Array(0..<plan.arriving))
      let held = Self.counts.reduce(0) { $0 + $1[Self.experts[rank]].reduce(0, +) }
      let lent = plan.lent.reduce(0) { $0 + Self.counts[$1.borrower][$1.expert] }
      #expect(plan.arriving == held - lent + borrowed.count)
      #expect(
        zip(plan.rows, plan.segments).allSatisfy { rows, segments in
          segments.allSatisfy { rows.contains($0.rows.lowerBound) }
        })
      #expect(plan.segments.joined().allSatisfy { !$0.rows.isEmpty })
    }
  }

  @Test func locallyRowsStayWhereTheyAre() {
    let offsets = Arena<Int32>(count: 4)
    for (index, offset) in [0, 2, 2, 5].enumerated() { offsets.buffer[index] = Int32(offset) }
    let plan = LocalDispatcher(experts: 3).plan(offsets.buffer)
    #expect(plan.segments[0].map(\.expert) == [0, 2] && plan.segments[0].map(\.rows) == [0..<2, 2..<5])
    #expect(plan.outgoing == [[0..<5]] && plan.incoming == [[0..<5]])
  }
}
