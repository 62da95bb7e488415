import Diagnostics
import Models
import Testing

@testable import Planning

@Suite struct LayoutSearchTests {
  /// 176 million parameters an expert and layer: more than 12 of them are too many for one exchange.
  private static let wide = """
    { model_type: mixtral, vocab_size: 640, hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 1,
      num_attention_heads: 32, num_key_value_heads: 8, num_local_experts: 64, num_experts_per_tok: 2,
      max_position_embeddings: 128 }
    """

  @Test func whatTheTrainerRefusesIsNotRecommended() throws {
    let configuration = try configuration(model: Self.wide)
    let found = LayoutSearch.run(
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
}
