import Batches
import ConfigurationFiles
import Engine
import Kernels
import MPI
import Models
import Objectives
import Optimizers
import Sharding
import Support

// An engine with a frozen second model beside the one in training.

/// 6 M parameters, so that a model's own memory is far above other memory. No experts are shadowed: shadowing depends on the
/// ranks' timing, and a hosted expert's memory belongs to the activations, not to the model.
private func options(_ sharding: ZeROStage, expertDegree: Int) throws -> EngineOptions {
  let node = try ConfigurationNode.parse(
    """
    model_type: mixtral
    vocab_size: 4096
    hidden_size: 192
    intermediate_size: 256
    num_hidden_layers: 4
    num_attention_heads: 6
    num_key_value_heads: 2
    head_dim: 32
    num_local_experts: 8
    num_experts_per_tok: 2
    max_position_embeddings: 256
    """, source: "model")
  return EngineOptions(
    model: try ModelConfiguration(huggingFace: ConfigurationSection(node)), sequences: 2, length: 256, microBatches: 4,
    optimizer: OptimizerSettings(
      adamW: AdamW.Settings(beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1)),
    sharding: sharding, expertDegree: expertDegree, shadowExperts: .never)
}

/// Micro-batch `number` of the global batch.
private func microBatch(_ number: Int) -> TokenBatch {
  let batch = TokenBatch(sequences: 2, length: 256)
  let random = CounterBasedRandom(seed: 9, stream: UInt64(number))
  for sequence in 0..<2 {
    batch.set(sequence: sequence, tokens: (0...256).map { Int32(random.bits(UInt64(300 * sequence + $0)).0 % 4096) })
  }
  return batch
}

/// A step on all ranks: four micro-batches, assigned round-robin.
private func trainStep(_ engine: Engine, _ world: Communicator, _ step: Int) throws {
  let rounds = (4 + world.size - 1) / world.size
  let batches = (0..<rounds).map { round in
    let number = round * world.size + world.rank
    return number < 4 ? microBatch(number) : TokenBatch(sequences: 0, length: 256)
  }
  let objective = NormalizedObjective(LanguageModeling(), denominators: [LossDenominator(count: 4 * 2 * 256)])
  var loads = [Int64](repeating: 0, count: 4 * 8)
  try engine.forwardBackward(batches, objective: objective) { _, result, _ in
    for (place, load) in result.expertLoads.enumerated() { loads[place] += Int64(load) }
  }
  try engine.finishGradients()
  _ = try engine.gradientNorm()
  try loads.withUnsafeMutableBufferPointer { try world.allReduce(arena: $0, .sum) }
  engine.update(
    step: step, learningRate: 1e-3, gradientScale: 1,
    expertLoads: (0..<4).map { layer in loads[8 * layer..<8 * layer + 8].map { Int($0) } })
}

let engineTests: [RankTest] = ZeROStage.allCases.map { sharding in
  RankTest("a frozen model costs its parameters, sharding \(sharding.rawValue)") { world, expectations in
    let degree = ExpertPlacement.automaticDegree(experts: 8, ranks: world.size)
    let engine = try Engine(
      options(sharding, expertDegree: degree), world: world, backend: Backend(threads: 1))
    engine.layout.initialize(
      engine.parameters, ranges: engine.state.shards.filter { !$0.isEmpty }, configuration: engine.options.model,
      seed: 1, backend: engine.backend)
    try engine.state.gatherShards()
    for step in 1...2 { try trainStep(engine, world, step) }
    try engine.state.waitForParameters()

    // All of the policy's memory has been touched: further growth is the frozen model's.
    let before = try engine.logProbabilities(microBatch(0))
    let bytesBefore = ResidentMemory.bytes()
    let frozen = try engine.makeFrozenModel()
    var held = 0
    for range in frozen.parameterSet.state.resident where !range.isEmpty {
      frozen.parameterSet.parameters.buffer[range].copy(from: engine.parameters[range])
      held += 4 * range.count
    }
    let frozenBefore = try frozen.logProbabilities(microBatch(0))
    let cost = ResidentMemory.bytes() - bytesBefore
    expectations.expectEqual(frozenBefore, before, "a copy of a model scores as the model does")
    // With full sharding pages at the ends of shards are shared with freed ranges.
    expectations.expect(
      cost < held + 1 << 20, "the frozen model costs \(cost) bytes, of which parameters are \(held)")

    try trainStep(engine, world, 3)
    try engine.state.waitForParameters()
    expectations.expectEqual(
      try frozen.logProbabilities(microBatch(0)), before, "training leaves the frozen model alone")
    expectations.expect(try engine.logProbabilities(microBatch(0)) != before, "training changes the other one")
  }
}
