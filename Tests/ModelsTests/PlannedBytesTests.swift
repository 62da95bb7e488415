import Kernels
import Models
import Testing

/// A decoder's memory plan includes what a configuration switches on.
struct PlannedBytesTests {
  private static let (sequences, length) = (2, 64)

  private func bytes(_ family: String, _ extra: String, training: Bool = true) throws -> Int {
    try Decoder.plannedBytes(
      tinyModel(family, extra), sequences: Self.sequences, length: Self.length, training: training)
  }

  /// A bit for every element of queries, keys and values in each of two layers; nothing where there is no backward pass.
  @Test func clamping() throws {
    let experts = "num_experts: 4\nnum_experts_per_tok: 2\n"
    let words = Backend.clampWords(rows: Self.sequences * Self.length, columns: 24)
    #expect(try bytes("olmoe", experts + "clip_qkv: 1") - bytes("olmoe", experts) == 2 * 4 * words)
    #expect(
      try bytes("olmoe", experts + "clip_qkv: 1", training: false) == bytes("olmoe", experts, training: false))
  }

  /// One reciprocal root mean square for all query heads and one for the key head, and not three, in each of two layers.
  @Test func normsOfWholeProjections() throws {
    let experts = "num_experts: 4\nnum_experts_per_tok: 2"
    let saved = try bytes("qwen3_moe", experts + "\nmoe_intermediate_size: 10") - bytes("olmoe", experts)
    #expect(saved == 2 * 4 * Self.sequences * Self.length)
  }

  /// A factor for every position.
  @Test func scaledQueries() throws {
    func rope(_ beta: Double) -> String {
      "rope_parameters: {rope_type: yarn, factor: 4, original_max_position_embeddings: 8, llama_4_scaling_beta: \(beta)}"
    }
    #expect(try bytes("ministral3", rope(0.1)) - bytes("ministral3", rope(0)) == 4 * Self.length)
  }
}
