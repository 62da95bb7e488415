import ConfigurationFiles
import Models
import RunConfiguration
import Sharding

@testable import Planning

/// A run's configuration for a small model.
func configuration(
  model: String, sequences: Int = 8, microBatch: Int = 2, length: Int = 64, sharding: ZeROStage = .optimizer
) throws -> RunConfiguration {
  try RunConfiguration(
    ConfigurationNode.parse(
      """
      run: { name: test, steps: 100 }
      model: \(model)
      data: { sequence_length: \(length), train: [ { path: data } ] }
      batch: { sequences: \(sequences), micro_batch: \(microBatch) }
      parallelism: { sharding: \(sharding.rawValue) }
      optimizer: { learning_rate: 0.001 }
      """, source: "test"))
}

let dense = """
  { model_type: llama, vocab_size: 640, hidden_size: 64, intermediate_size: 96, num_hidden_layers: 3,
    num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 128 }
  """
let sparse = """
  { model_type: mixtral, vocab_size: 640, hidden_size: 64, intermediate_size: 96, num_hidden_layers: 3,
    num_attention_heads: 4, num_key_value_heads: 2, num_local_experts: 4, num_experts_per_tok: 2,
    max_position_embeddings: 128 }
  """

func shardingPlan(
  _ configuration: RunConfiguration, ranks: Int, degree: Int = 1, sharding: ZeROStage = .optimizer
) -> ShardingPlan {
  let layout = ParameterLayout(configuration.model)
  return ShardingPlan(
    layout: layout, experts: ExpertPlacement(experts: layout.expertCount, ranks: ranks, degree: degree),
    stage: sharding)
}

func cluster(ranks: Int, memory: Int = 1 << 40, bandwidth: Double = 1e9, latency: Double = 1e-5) -> Cluster {
  Cluster(
    ranks: ranks, ranksPerNode: 1, threads: 1, coresPerNode: 2, memoryPerNode: memory, bandwidth: bandwidth,
    latency: latency)
}

/// Rates for simple arithmetic: a nanosecond for everything.
func rates(_ second: Double = 1e-9) -> MachineRates {
  let layer = PassWork.Layer(PassWork.Layer.numbers.map { _ in second })
  return MachineRates(
    pass: MachineRates.Pass(
      embedding: second, embeddingGradient: second, head: second, accumulation: second, dense: layer, sparse: layer),
    adamW: second, muon: second, norm: second, zero: second, copy: second, copyAndAdd: second, pageFault: second,
    save: second, oversleep: 0, isExact: true, threads: 1, ranks: 1, cores: 2, memory: 1 << 40)
}
