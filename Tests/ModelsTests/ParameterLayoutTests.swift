import Kernels
import Models
import Testing

struct ParameterLayoutTests {
  static let models: [(String, String)] = [
    ("llama", "attention_bias: true"), ("mistral", "tie_word_embeddings: true"), ("qwen3", ""),
    ("mixtral", "num_local_experts: 3"),
    ("qwen3_moe", "num_experts: 3\nnum_experts_per_tok: 2\nmoe_intermediate_size: 4"),
    ("qwen3_moe", "num_experts: 3\nnum_experts_per_tok: 2\nmoe_intermediate_size: 4\nmlp_only_layers: [0]"),
    ("olmoe", "num_experts: 3\nnum_experts_per_tok: 2"), ("ministral3", ""), ("qwen2", ""),
    ("dots1", dots1),
    ("dots1", dots1 + "first_k_dense_replace: 1\nn_shared_experts: 2"),
  ]
  static let dots1 = "n_routed_experts: 3\nnum_experts_per_tok: 2\nmoe_intermediate_size: 4\n"

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

  /// Units are adjacent, and none cuts through a tensor.
  @Test(arguments: models)
  func unitsCoverTheArena(family: String, extra: String) throws {
    let configuration = try tinyModel(family, extra)
    let layout = ParameterLayout(configuration)
    #expect(layout.units.count == configuration.layers + configuration.sparseLayerCount + 2)
    #expect(layout.units.first?.lowerBound == 0 && layout.units.last?.upperBound == layout.count)
    for (unit, next) in zip(layout.units, layout.units.dropFirst()) { #expect(unit.upperBound == next.lowerBound) }
    for tensor in layout.tensors {
      let owners = layout.units.indices.filter { layout.units[$0].overlaps(tensor.range) }
      #expect(owners.count == 1, "\(tensor.name)")
      let layer = tensor.name.hasPrefix("model.layers.") ? tensor.name.split(separator: ".").dropFirst(2).first : nil
      let isEmbedding = tensor.name == "model.embed_tokens.weight"
      let isExpert = tensor.name.contains(".experts.")
      let expected = layer.flatMap { Int($0) }.map { isExpert ? layout.expertsUnit($0) ?? -1 : layout.blockUnit($0) }
      #expect(owners.first == expected ?? (isEmbedding ? layout.embeddingUnit : layout.headUnit), "\(tensor.name)")
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

  @Test func namesOfNormsAndBiases() throws {
    func vectors(_ family: String) throws -> [String] {
      try ParameterLayout(tinyModel(family)).tensors.filter {
        $0.name.contains("layers.0.self_attn") && $0.shape.count == 1
      }
      .map { "\($0.name.dropFirst("model.layers.0.self_attn.".count)) \($0.shape) \($0.role)" }
    }
    #expect(try vectors("olmoe") == ["q_norm.weight [12] norm", "k_norm.weight [6] norm"])
    #expect(try vectors("qwen2") == ["q_proj.bias [12] bias", "k_proj.bias [6] bias", "v_proj.bias [6] bias"])
    #expect(try vectors("ministral3").isEmpty)
  }

  /// Every form in which transformers 5 reads experts, in the order in which a file's are looked for.
  @Test func placesOfExperts() throws {
    let configuration = try tinyModel("mixtral", "num_local_experts: 3")
    let tensors = ParameterLayout(configuration).tensors.filter { $0.name.hasPrefix("model.layers.1.") }
    let up = try #require(tensors.first { $0.matrix?.expert == 2 && $0.matrix?.place == .up })
    let places = configuration.places(of: up)
    #expect(places.first == TensorPlace("model.layers.1.block_sparse_moe.experts.2.w3.weight", [10, 12]))
    #expect(places.contains(TensorPlace("model.layers.1.mlp.experts.2.w3.weight", [10, 12])))
    #expect(places.contains(TensorPlace("model.layers.1.mlp.experts.gate_up_proj", [3, 20, 12], first: 600)))
    #expect(places.contains(TensorPlace("layers.1.mlp.experts.gate_up_proj", [3, 20, 12], first: 600)))
    let down = try #require(tensors.first { $0.matrix?.expert == 1 && $0.matrix?.place == .down })
    #expect(
      configuration.places(of: down).contains(
        TensorPlace("model.layers.1.mlp.experts.down_proj", [3, 12, 10], first: 120)))
    let gate = try #require(tensors.first { $0.role == .router })
    #expect(
      configuration.places(of: gate).map(\.name).prefix(2) == [
        "model.layers.1.block_sparse_moe.gate.weight", "model.layers.1.mlp.gate.weight",
      ])
  }

  /// The parameters of dots1 besides attention and experts, which are Qwen 3's.
  @Test func namesOfTheRouterAndSharedExperts() throws {
    let layout = try ParameterLayout(tinyModel("dots1", Self.dots1 + "first_k_dense_replace: 1\nn_shared_experts: 2"))
    let shapes = layout.tensors.filter { $0.name.contains(".mlp.") && !$0.name.contains(".experts.") }
      .map { "\($0.name) \($0.shape) \($0.role)" }
    #expect(
      shapes == [
        "model.layers.0.mlp.gate_proj.weight [10, 12] hidden", "model.layers.0.mlp.up_proj.weight [10, 12] hidden",
        "model.layers.0.mlp.down_proj.weight [12, 10] hidden", "model.layers.1.mlp.gate.weight [3, 12] router",
        "model.layers.1.mlp.gate.e_score_correction_bias [3] expertBias",
        "model.layers.1.mlp.shared_experts.gate_proj.weight [8, 12] hidden",
        "model.layers.1.mlp.shared_experts.up_proj.weight [8, 12] hidden",
        "model.layers.1.mlp.shared_experts.down_proj.weight [12, 8] hidden",
      ])
    let values = initialised(try tinyModel("dots1", Self.dots1), seed: 7, threads: 1)
    let bias = try #require(ParameterLayout(tinyModel("dots1", Self.dots1)).tensors.first { $0.role == .expertBias })
    #expect(values[bias.range].allSatisfy { $0 == 0 })
  }

  @Test func tiedEmbeddingsAreOneTensor() throws {
    let layout = try ParameterLayout(tinyModel("llama", "tie_word_embeddings: true"))
    #expect(layout.head == layout.embedding && !layout.tensors.contains { $0.name == "lm_head.weight" })
  }

  private func initialised(_ configuration: ModelConfiguration, seed: UInt64, threads: Int) -> [Float] {
    let layout = ParameterLayout(configuration)
    let parameters = Arena<Float>(count: layout.count)
    layout.initialize(parameters.buffer, configuration: configuration, seed: seed, backend: Backend(threads: threads))
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
    // A rank that fills only its shards gets the same numbers, wherever these begin and end.
    let layout = ParameterLayout(configuration)
    let parameters = Arena<Float>(count: layout.count)
    let ranges = [3..<40_001, 40_001..<60_002, layout.count - 1..<layout.count]
    layout.initialize(
      parameters.buffer, ranges: ranges, configuration: configuration, seed: 7, backend: Backend(threads: 2))
    for range in ranges { #expect(parameters.buffer[range].array() == Array(values[range])) }
    #expect(parameters.buffer[60_002..<layout.count - 1].array().allSatisfy { $0 == 0 })
    let matrices = ParameterLayout(configuration).tensors.filter(\.decays)
    #expect(Set(matrices.map { values[$0.range.lowerBound] }).count == matrices.count, "tensors differ")
  }
}
