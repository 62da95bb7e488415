import ConfigurationFiles
import Models
import Testing

@testable import Sharding

@Suite struct ShardingPlanTests {
  /// Two sparse layers and a dense one; expert tensors and the embedding have several blocks.
  private static func layout(experts: Int = 6) throws -> ParameterLayout {
    let text = """
      { model_type: qwen3_moe, vocab_size: 700, hidden_size: 64, intermediate_size: 96, moe_intermediate_size: 300,
        num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2, num_experts: \(experts),
        num_experts_per_tok: 2, mlp_only_layers: [1], max_position_embeddings: 64 }
      """
    let node = try ConfigurationNode.parse(text, source: "test")
    return ParameterLayout(try ModelConfiguration(huggingFace: ConfigurationSection(node)))
  }

  private static let cases: [(ranks: Int, degree: Int)] = [
    (1, 1), (2, 1), (2, 2), (3, 3), (4, 2), (6, 6), (8, 4), (64, 2), (128, 4),
  ]

  @Test(arguments: cases, [false, true])
  func everyElementHasOneOwnerAmongThoseWhoComputeWithIt(_ ranks: (Int, Int), wholeMatrices: Bool) throws {
    let layout = try Self.layout()
    let shardingPlan = ShardingPlan(
      layout: layout, experts: ExpertPlacement(experts: 6, ranks: ranks.0, degree: ranks.1), stage: .optimizer,
      wholeMatrices: wholeMatrices)
    for (unit, range) in layout.units.enumerated() {
      let shards = shardingPlan.shards[unit].filter { !$0.isEmpty }.sorted { $0.lowerBound < $1.lowerBound }
      #expect(shards.first?.lowerBound == range.lowerBound && shards.last?.upperBound == range.upperBound)
      for (part, next) in zip(shards, shards.dropFirst()) { #expect(part.upperBound == next.lowerBound) }
      for rank in 0..<ranks.0 where !shardingPlan.shards[unit][rank].isEmpty {
        let part = shardingPlan.shards[unit][rank]
        let computeRange = shardingPlan.computeRange(unit: unit, by: rank)
        #expect(computeRange.lowerBound <= part.lowerBound && part.upperBound <= computeRange.upperBound)
        for (tensor, elements) in layout.parts(of: [part]) {
          let isWhole = elements == tensor.range
          #expect(isWhole || !(wholeMatrices && tensor.role == .hidden), "\(tensor.name) is cut")
          // Cuts are at block boundaries of the tensor.
          #expect((elements.lowerBound - tensor.range.lowerBound) % ShardingPlan.blockSize == 0)
          let ends = elements.upperBound == tensor.range.upperBound
          #expect(ends || (elements.upperBound - tensor.range.lowerBound) % ShardingPlan.blockSize == 0)
        }
      }
    }
  }

  @Test(arguments: cases) func ranksOwnAboutTheSame(ranks: Int, degree: Int) throws {
    let layout = try Self.layout()
    let shardingPlan = ShardingPlan(
      layout: layout, experts: ExpertPlacement(experts: 6, ranks: ranks, degree: degree), stage: .full)
    let totals = (0..<ranks).map { rank in shardingPlan.shards.reduce(0) { $0 + $1[rank].count } }
    #expect(totals.reduce(0, +) == layout.count)
    let most = totals.max() ?? 0
    #expect(most <= layout.count / ranks + 2 * ShardingPlan.blockSize, "\(totals)")
  }

  @Test func residentAndUpdateRangesFollowTheStage() throws {
    let layout = try Self.layout()
    let experts = ExpertPlacement(experts: 6, ranks: 4, degree: 2)
    func shardingPlan(_ sharding: ZeROStage) -> ShardingPlan {
      ShardingPlan(layout: layout, experts: experts, stage: sharding)
    }
    let unit = try #require(layout.expertsUnit(0))
    // Ranks 1 and 3 have the last three experts.
    #expect(shardingPlan(.none).computeRange(unit: unit, by: 3) == layout.experts(3..<6, layer: 0))
    #expect(shardingPlan(.none).holders(unit: unit, of: 3) == [1, 3])
    #expect(shardingPlan(.none).updateRange(unit: unit, by: 3) == layout.experts(3..<6, layer: 0))
    #expect(shardingPlan(.optimizer).resident(unit: unit, by: 3) == layout.experts(3..<6, layer: 0))
    let shards = shardingPlan(.optimizer).shards[unit]
    #expect(shardingPlan(.optimizer).updateRange(unit: unit, by: 3) == shards[3])
    #expect(shards[1].count + shards[3].count == layout.experts(3..<6, layer: 0).count)
    #expect(shardingPlan(.full).resident(unit: unit, by: 3) == shards[3])
    #expect(shardingPlan(.full).computeRange(unit: layout.headUnit, by: 2) == layout.units[layout.headUnit])
  }

  /// Every resident element is in one run, and no two runs are adjacent.
  @Test(arguments: cases, ZeROStage.allCases) func residentRunsAreWhatIsResident(
    of: (ranks: Int, degree: Int), sharding: ZeROStage
  ) throws {
    let layout = try Self.layout()
    let shardingPlan = ShardingPlan(
      layout: layout, experts: ExpertPlacement(experts: 6, ranks: of.ranks, degree: of.degree), stage: sharding)
    for rank in [0, of.ranks - 1] {
      let runs = shardingPlan.residentRuns(by: rank)
      let resident = layout.units.indices.map { shardingPlan.resident(unit: $0, by: rank) }.filter { !$0.isEmpty }
      #expect(Set(runs.joined()) == Set(resident.joined()))
      #expect(zip(runs, runs.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound })
    }
  }

  @Test(arguments: [(6, 4), (5, 5), (8, 3), (64, 64)]) func expertsAreDealtEvenly(experts: Int, degree: Int) {
    let shardingPlan = ExpertPlacement(experts: experts, ranks: 2 * degree, degree: degree)
    let ranges = (0..<degree).map(shardingPlan.experts(at:))
    #expect(ranges.flatMap(Array.init) == Array(0..<experts))
    let counts = ranges.map(\.count)
    #expect((counts.max() ?? 0) - (counts.min() ?? 0) <= 1)
  }
}
