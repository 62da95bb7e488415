import Models
import Sharding
import Testing

@testable import Planning

/// Bytes counted element by element, from the ranks that own and that compute with each.
@Suite struct TrafficTests {
  @Test(arguments: ZeROStage.allCases)
  func elementsAreCountedOneByOne(_ sharding: ZeROStage) throws {
    let configuration = try configuration(model: sparse)
    let (ranks, degree, microSteps) = (4, 2, 3)
    let shardingPlan = shardingPlan(configuration, ranks: ranks, degree: degree, sharding: sharding)
    let layout = shardingPlan.layout
    for rank in 0..<ranks {
      var gradients = 0
      var sums = 0
      var parameters = 0
      for (unit, range) in layout.units.enumerated() {
        // A block is unsharded twice in a micro-step, the embedding and the head once.
        let passes = unit == 0 || unit == layout.units.count - 1 ? 1 : 2
        for element in range {
          let holders = (0..<ranks).filter { shardingPlan.computeRange(unit: unit, by: $0).contains(element) }
          let owner = try #require((0..<ranks).first { shardingPlan.shards[unit][$0].contains(element) })
          guard holders.contains(rank) else { continue }
          let times = sharding == .full ? microSteps : 1
          if owner == rank {
            gradients += 8 * (holders.count - 1) * times
          } else {
            switch sharding {
            case .none: sums += 8
            case .optimizer: parameters += 4
            case .full: parameters += 4 * times * passes
            }
          }
        }
      }
      let schedule = PassSchedule.training(layout, recompute: .none)
      let traffic = Traffic(shardingPlan, schedule, rank: rank, microSteps: microSteps, slots: 0, hidden: 64)
      #expect(traffic.gradients == Double(gradients))
      #expect(traffic.sums == Double(sums))
      #expect(traffic.parameters == Double(parameters))
      #expect(traffic.rows == 0)
    }
  }

  @Test func rowsTravelFourTimes() throws {
    let shardingPlan = shardingPlan(try configuration(model: sparse), ranks: 4, degree: 4)
    // 3 of 4 slots are chosen elsewhere: 64 columns there and back, 65 in the backward pass, 2 micro-steps of 3 layers.
    let traffic = Traffic(
      shardingPlan, .training(shardingPlan.layout, recompute: .none), rank: 0, microSteps: 2, slots: 400, hidden: 64)
    let columns = 64 + 64 + 65 + 65
    #expect(traffic.rows == Double(4 * 300 * columns * 6))
  }

  @Test func oneRankSendsNothing() throws {
    let shardingPlan = shardingPlan(try configuration(model: dense), ranks: 1)
    let schedule = PassSchedule.training(shardingPlan.layout, recompute: .none)
    #expect(Traffic(shardingPlan, schedule, rank: 0, microSteps: 2, slots: 0, hidden: 64).total == 0)
  }
}
