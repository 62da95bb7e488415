import Kernels
import Models
import Testing

struct ParameterLayoutTests {
  static let models: [(String, String)] = [
    ("llama", "attention_bias: true"), ("mistral", "tie_word_embeddings: true"), ("qwen3", ""),
    ("mixtral", "num_local_experts: 3"),
    ("qwen3_moe", "num_experts: 3\nnum_experts_per_tok: 2\nmoe_intermediate_size: 4"),
    ("qwen3_moe", "num_experts: 3\nnum_experts_per_tok: 2\nmoe_intermediate_size: 4\nmlp_only_layers: [0]"),
  ]

  @Test(arguments: models)
  func tensorsFollowEachOther(family: String, extra: String) throws {
    let layout = try ParameterLayout(tinyModel(family, extra))
    var end = 0
    for tensor in layout.tensors {
      #expect(tensor.range.lowerBound == end, "\(tensor.name) does not begin where its predecessor ends")
      #expect(tensor.range.count == tensor.shape.reduce(1, *))
      #expect(tensor.decays == (tensor.shape.count == 2))
      end = tensor.range.upperBound
    }
    #expect(layout.count == end)
    #expect(Set(layout.tensors.map(\.name)).count == layout.tensors.count)
  }

  /// Pieces follow each other without a gap, and none cuts through a tensor.
  @Test(arguments: models)
  func piecesCoverTheArena(family: String, extra: String) throws {
    let configuration = try tinyModel(family, extra)
    let layout = ParameterLayout(configuration)
    #expect(layout.pieces.count == configuration.layers + 2)
    #expect(layout.pieces.first?.lowerBound == 0 && layout.pieces.last?.upperBound == layout.count)
    for (piece, next) in zip(layout.pieces, layout.pieces.dropFirst()) { #expect(piece.upperBound == next.lowerBound) }
    for tensor in layout.tensors {
      let owners = layout.pieces.indices.filter { layout.pieces[$0].overlaps(tensor.range) }
      #expect(owners.count == 1, "\(tensor.name)")
      let layer = tensor.name.hasPrefix("model.layers.") ? tensor.name.split(separator: ".").dropFirst(2).first : nil
      let isEmbedding = tensor.name == "model.embed_tokens.weight"
      let expected = layer.flatMap { Int($0) }.map(layout.blockPiece)
      #expect(owners.first == expected ?? (isEmbedding ? layout.embeddingPiece : layout.headPiece), "\(tensor.name)")
    }
  }

  /// The names and shapes of transformers' checkpoints.
  @Test func names() throws {
    let layout = try ParameterLayout(tinyModel("mixtral", "num_local_experts: 2"))
    let shapes = Dictionary(uniqueKeysWithValues: layout.tensors.map { ($0.name, $0.shape) })
    let layer = [
      "input_layernorm.weight": [12], "self_attn.q_proj.weight": [12, 12], "self_attn.k_proj.weight": [6, 12],
      "self_attn.v_proj.weight": [6, 12], "self_attn.o_proj.weight": [12, 12], "post_attention_layernorm.weight": [12],
      "block_sparse_moe.gate.weight": [2, 12], "block_sparse_moe.experts.0.w1.weight": [10, 12],
      "block_sparse_moe.experts.0.w3.weight": [10, 12], "block_sparse_moe.experts.0.w2.weight": [12, 10],
      "block_sparse_moe.experts.1.w1.weight": [10, 12], "block_sparse_moe.experts.1.w3.weight": [10, 12],
      "block_sparse_moe.experts.1.w2.weight": [12, 10],
    ]
    var expected = ["model.embed_tokens.weight": [19, 12], "model.norm.weight": [12], "lm_head.weight": [19, 12]]
    for index in 0..<2 { for (name, shape) in layer { expected["model.layers.\(index).\(name)"] = shape } }
    #expect(shapes == expected)
    #expect(layout.count == shapes.values.reduce(0) { $0 + $1.reduce(1, *) })
  }

  @Test func tiedEmbeddingsAreOneTensor() throws {
    let layout = try ParameterLayout(tinyModel("llama", "tie_word_embeddings: true"))
    #expect(layout.head == layout.embedding && !layout.tensors.contains { $0.name == "lm_head.weight" })
  }

  private func initialised(_ configuration: ModelConfiguration, seed: UInt64, threads: Int) -> [Float] {
    let layout = ParameterLayout(configuration)
    let parameters = Arena<Float>(count: layout.count)
    layout.initialize(parameters.buffer, configuration: configuration, seed: seed, compute: Compute(threads: threads))
    return parameters.buffer.array()
  }

  @Test func initialValues() throws {
    let configuration = try modelConfiguration(
      """
      model_type: llama
      vocab_size: 301
      hidden_size: 128
      intermediate_size: 96
      num_hidden_layers: 1
      num_attention_heads: 4
      attention_bias: true
      initializer_range: 0.05
      """)
    let values = initialised(configuration, seed: 7, threads: 1)
    for tensor in ParameterLayout(configuration).tensors {
      let part = values[tensor.range].map(Double.init)
      guard tensor.shape.count == 2 else {
        #expect(part.allSatisfy { $0 == (tensor.name.hasSuffix(".bias") ? 0 : 1) }, "\(tensor.name)")
        continue
      }
      let count = Double(part.count)
      let mean = part.reduce(0, +) / count
      let deviation = (part.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count).squareRoot()
      #expect(abs(mean) < 4 * 0.05 / count.squareRoot(), "\(tensor.name)")
      #expect(abs(deviation - 0.05) < 4 * 0.05 / (2 * count).squareRoot(), "\(tensor.name)")
    }
    #expect(initialised(configuration, seed: 7, threads: 3) == values, "the number of threads leaves no trace")
    #expect(initialised(configuration, seed: 8, threads: 1) != values)
    let matrices = ParameterLayout(configuration).tensors.filter(\.decays)
    #expect(Set(matrices.map { values[$0.range.lowerBound] }).count == matrices.count, "tensors differ")
  }
}
