import Kernels
import Testing

@testable import Models

@Suite struct DispatchPlanTests {
  // Three ranks with 2, 1 and 2 of 5 experts; the second rank's micro-batch has no rows, expert 3 gets none at all.
  private static let counts = [[3, 1, 0, 0, 2], [0, 0, 0, 0, 0], [1, 4, 2, 0, 5]]
  private static let experts = [0..<2, 2..<3, 3..<5]

  private static func plan(_ rank: Int, chunks: Int) -> DispatchPlan {
    DispatchPlan(counts: counts, experts: experts, rank: rank, chunks: chunks)
  }

  /// What one rank says it sends is what the other says it receives.
  @Test(arguments: [1, 2, 3]) func ranksAgree(chunks: Int) {
    for chunk in 0..<chunks {
      for source in 0..<3 {
        for destination in 0..<3 {
          let sent = Self.plan(source, chunks: chunks).outgoing[chunk][destination]
          let received = Self.plan(destination, chunks: chunks).incoming[chunk][source]
          #expect(sent.count == received.count, "chunk \(chunk) from \(source) to \(destination)")
        }
      }
    }
  }

  /// Every own row is sent exactly once, to the rank of its expert, and arrives in the segment of its micro-batch and
  /// expert.
  @Test(arguments: [1, 2, 3]) func everyRowArrivesOnceAtItsExpert(chunks: Int) {
    for source in 0..<3 {
      // The own rows, in expert order, by the expert that each chose.
      let rows = Self.counts[source].enumerated().flatMap { Array(repeating: $0, count: $1) }
      var sent: [Int] = []
      for destination in 0..<3 {
        let arrival = Self.plan(destination, chunks: chunks)
        for chunk in 0..<chunks {
          let outgoing = Self.plan(source, chunks: chunks).outgoing[chunk][destination]
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

  @Test(arguments: [1, 2, 3]) func segmentsFillTheArrivingRows(chunks: Int) {
    for rank in 0..<3 {
      let plan = Self.plan(rank, chunks: chunks)
      #expect(plan.segments.flatMap { $0.flatMap(\.rows) } == Array(0..<plan.arriving))
      #expect(plan.arriving == Self.counts.reduce(0) { $0 + $1[Self.experts[rank]].reduce(0, +) })
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
