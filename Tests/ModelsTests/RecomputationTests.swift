import Models
import Testing

/// The activation memory freed by recomputation.
@Suite struct RecomputationTests {
  private func bytes(_ model: ModelConfiguration, _ recompute: Recomputation, receiveCapacity: Bool = false) -> Int {
    Decoder.plannedBytes(
      model, sequences: 4, length: 256, training: true, recompute: recompute, experts: receiveCapacity ? 4 : nil,
      receiveCapacity: receiveCapacity ? { ReceiveCapacity(all: $0 * 3 / 2, received: $0) } : nil)
  }

  private func model(layers: Int, _ family: String, _ extra: String = "") throws -> ModelConfiguration {
    try modelConfiguration(
      """
      model_type: \(family)
      vocab_size: 2000
      hidden_size: 256
      intermediate_size: 896
      num_hidden_layers: \(layers)
      num_attention_heads: 8
      num_key_value_heads: 2
      max_position_embeddings: 256
      \(extra)
      """)
  }

  @Test(arguments: [("llama", ""), ("mixtral", "num_local_experts: 8\nnum_experts_per_tok: 2")])
  func aBlockKeepsLittle(_ family: String, _ extra: String) throws {
    let model = try model(layers: 12, family, extra)
    let all = bytes(model, .none)
    #expect(Double(bytes(model, .block)) <= 0.4 * Double(all))
    #expect(bytes(model, .block) < bytes(model, .attention) && bytes(model, .attention) < all)
  }

  /// Received rows are kept: they are not sent twice.
  @Test func receivedRowsAreKept() throws {
    func growth(_ recompute: Recomputation) throws -> Int {
      let extra = "num_local_experts: 8\nnum_experts_per_tok: 2"
      return try bytes(model(layers: 13, "mixtral", extra), recompute, receiveCapacity: true)
        - bytes(model(layers: 12, "mixtral", extra), recompute, receiveCapacity: true)
    }
    // One more layer keeps its input, [1024, 256], and received rows, [3072, 256], which end in the middle of a huge page,
    // besides its routing.
    let kept = 4 * (1024 + 3072) * 256 + (1 << 21)
    #expect(try growth(.block) >= kept && growth(.block) < kept + kept / 8)
    #expect(try growth(.none) > 3 * kept)
  }
}
