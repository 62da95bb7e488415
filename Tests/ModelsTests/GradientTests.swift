import Batches
import Foundation
import Kernels
import Models
import Objectives
import Testing

/// The decoder's gradient against finite differences of its own loss, balancing and z losses included.
struct GradientTests {
  static let sparse =
    "num_local_experts: 4\nnum_experts_per_tok: 2\nrouter_z_loss_coef: 0.05\nrouter_aux_loss_coef: 0.5\n"
  static let sigmoid =
    "num_experts_per_tok: 2\nmoe_intermediate_size: 6\nn_shared_experts: 1\n"
    + "router_aux_loss_coef: 0.5\n"

  @Test(arguments: [
    ("llama", "attention_bias: true\ntie_word_embeddings: true"), ("qwen3", ""), ("mistral", "sliding_window: 3"),
    ("mixtral", sparse + "router_aux_loss_scope: model"), ("mixtral", sparse + "router_aux_loss_scope: layer"),
    (
      "olmoe",
      "num_experts: 4\nnum_experts_per_tok: 2\nrouter_z_loss_coef: 0.05\nrouter_aux_loss_coef: 0.5\nclip_qkv: 1.2\n"
        + "attention_bias: true"
    ),
    (
      "ministral3",
      "rope_parameters: {rope_type: yarn, factor: 4, original_max_position_embeddings: 2, llama_4_scaling_beta: 0.7}"
    ),
    ("qwen2", ""),
    ("qwen3_moe", sparse + "moe_intermediate_size: 6\nnorm_topk_prob: true\nmlp_only_layers: [0]"),
    (
      "dots1",
      sigmoid + "n_routed_experts: 6\nn_group: 3\ntopk_group: 2\nnorm_topk_prob: true\nrouted_scaling_factor: 2.5\n"
        + "first_k_dense_replace: 1"
    ),
    ("dots1", sigmoid + "n_routed_experts: 4\nn_group: 2\nrouter_aux_loss_scope: layer"),
  ])
  func matchesFiniteDifferences(family: String, extra: String) throws {
    let configuration = try tinyModel(family, extra + "\ninitializer_range: 0.4")
    let layout = ParameterLayout(configuration)
    let parameters = Arena<Float>(count: layout.count)
    let backend = Backend(threads: 2)
    layout.initialize(parameters.buffer, configuration: configuration, seed: 3, backend: backend)
    let random = CounterBasedRandom(seed: 4, stream: 0)
    for tensor in layout.tensors where !tensor.decays {
      for index in tensor.range { parameters.buffer[index] += Float(random.uniform(UInt64(index)) - 0.5) }
    }
    let decoder = Decoder(
      configuration, parameters: parameters.buffer, sequences: 2, length: 9, training: true, backend: backend)
    let batch = TokenBatch(sequences: 2, length: 9)
    for sequence in 0..<2 {
      let tokens = (0...9).map { Int32(random.bits(UInt64(10 * sequence + $0)).0 % 19) }
      batch.set(sequence: sequence, tokens: tokens, documentStarts: (0..<9).map { $0 < 4 ? 0 : 4 })
    }
    let accumulator = FixedPointGradientAccumulator(count: layout.count, microBatches: 1)
    let objective = NormalizedObjective(LanguageModeling(), of: [batch])
    func loss() throws -> Double {
      accumulator.reset([0..<layout.count], backend: backend)
      let result = try decoder.train(batch, objective: objective, microBatches: 1, accumulator: accumulator)
      return objective.loss(ofSums: try #require(result.losses))
        + LossFixedPoint.decode(try #require(result.auxiliaryLoss))
    }
    _ = try loss()
    let gradients = accumulator.sums.array().map { Double($0) * 0x1p-52 }
    let largest = gradients.map(abs).max() ?? 0
    var checked = 0
    for (place, tensor) in layout.tensors.enumerated() {
      for sample in 0..<4 {
        let draw = Int(random.bits(UInt64(1000 + 4 * place + sample)).1)
        let index = tensor.range.lowerBound + draw % tensor.range.count
        let value = parameters.buffer[index]
        // fp32 losses are good to about 1e-7, so steps are wide and Richardson's extrapolation removes their h² error.
        func difference(_ step: Float) throws -> Double {
          parameters.buffer[index] = value + step
          let above = try loss()
          parameters.buffer[index] = value - step
          let below = try loss()
          parameters.buffer[index] = value
          return (above - below) / Double(2 * step)
        }
        let (narrow, wide) = (try difference(0x1p-7), try difference(0x1p-6))
        let expected = (4 * narrow - wide) / 3
        // Where the two disagree, a step has changed some token's experts, or brought an element to its bound, and the
        // loss is not smooth.
        let smooth = configuration.queryKeyValueBound == nil ? 0.02 : 0.003
        if abs(narrow - wide) > smooth * largest { continue }
        checked += 1
        #expect(abs(gradients[index] - expected) < 1e-3 * largest, "\(tensor.name)[\(index - tensor.range.lowerBound)]")
      }
    }
    #expect(checked > 3 * layout.tensors.count, "checked \(checked) elements of \(layout.tensors.count) tensors")
  }
}
