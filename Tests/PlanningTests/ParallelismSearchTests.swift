import Foundation
import Models
import RunConfiguration
import Support
import Testing

@testable import Planning

@Suite struct ParallelismSearchTests {
  /// 176 million parameters an expert and layer: more than 12 of them are too many for one exchange.
  private static let wide = """
    { model_type: mixtral, vocab_size: 640, hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 1,
      num_attention_heads: 32, num_key_value_heads: 8, num_local_experts: 64, num_experts_per_tok: 2,
      max_position_embeddings: 128 }
    """

  @Test func whatTheTrainerRefusesIsNotRecommended() throws {
    let configuration = try configuration(model: Self.wide)
    let found = ParallelismSearch.run(
      configuration, ParameterLayout(configuration.model), cluster: cluster(ranks: 16, memory: .max), rates: rates())
    #expect(Set(found.map(\.expertDegree)) == [8, 16])
  }

  @Test func aConfiguredLayoutThatTheTrainerRefusesIsRefused() throws {
    let configuration = try configuration(model: Self.wide)
    func plan(_ ranks: Int) throws -> RunPlan {
      try RunPlan(configuration, PlanRequest(), cluster: cluster(ranks: ranks, memory: .max), rates: rates())
    }
    #expect(try plan(8).configured.expertDegree == 8)
    let error = try #require(throws: ForgeError.self) { try plan(4) }
    #expect(error.exitCode == 64 && error.description.contains("with 4 ranks a rank's part of one layer has more than"))
  }

  /// Where a layout does not fit otherwise, activations are recomputed, as few as needed; the text shows
  /// the setting and the memory it frees.
  @Test func activationsAreComputedAgainWhereMemoryIsShort() throws {
    let deep = """
      { model_type: llama, vocab_size: 640, hidden_size: 64, intermediate_size: 224, num_hidden_layers: 12,
        num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 512 }
      """
    let configuration = try configuration(model: deep, sequences: 32, microBatch: 32, length: 512)
    let layout = ParameterLayout(configuration.model)
    func found(memory: Int) -> ParallelismPlan? {
      ParallelismSearch.run(configuration, layout, cluster: cluster(ranks: 1, memory: memory), rates: rates()).first
    }
    let plans = try [Recomputation.none, .attention, .block].map { recompute in
      let plan = ParallelismPlan(
        configuration, shardingPlan: shardingPlan(configuration, ranks: 1), cluster: cluster(ranks: 1), rates: rates(),
        recompute: recompute)
      let chosen = try #require(found(memory: plan.nodeMemory))
      #expect(chosen.recompute == recompute && chosen.time == plan.time)
      return plan
    }
    #expect(found(memory: plans[2].nodeMemory - 1) == nil)
    #expect(plans[2].recomputeSaves == plans[0].memory.bytes - plans[2].memory.bytes)
    #expect(plans[0].time.recomputation == 0)
    #expect(plans[0].time.total < plans[1].time.total && plans[1].time.total < plans[2].time.total)
    let page = try RunPlan(
      configuration, PlanRequest(), cluster: cluster(ranks: 1, memory: plans[2].nodeMemory), rates: rates()
    ).text
    let saved = MemoryPlan.mebibytes(plans[2].recomputeSaves)
    #expect(page.contains("memory: { recompute: block } saves \(saved) a rank"))
  }

  /// Programs read `forge plan --json`: its keys outlive the names of what they come from.
  @Test func theKeysOfThePlanStay() throws {
    let configuration = try configuration(model: Self.wide)
    let plan = try RunPlan(configuration, PlanRequest(), cluster: cluster(ranks: 8, memory: .max), rates: rates())
    let object = try JSONSerialization.jsonObject(with: Data(RunPlan.json([plan]).utf8)) as? [String: Any]
    func keys(_ key: String? = nil) -> [String] {
      (key.map { object?[$0] as? [String: Any] } ?? object)?.keys.sorted() ?? []
    }
    #expect(
      keys() == [
        "alternatives", "configured", "measured_exactly", "parameters", "ranks", "ranks_per_node", "rounds", "schedule",
        "threads",
      ])
    #expect(
      keys("configured") == [
        "bytes_seconds", "expert", "limited_by", "memory", "messages_seconds", "node_bytes", "parts", "rank_bytes",
        "recompute", "recompute_saves_bytes", "sharding", "step_seconds", "traffic",
      ])
    let parts = (object?["configured"] as? [String: Any])?["memory"] as? [String: Any]
    #expect(
      parts?.keys.sorted() == [
        "activations", "buffers", "gradient sums", "moments", "parameters",
      ])
  }
}
