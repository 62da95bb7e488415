import Batches
import ConfigurationFiles
import Kernels
import MPI
import Objectives
import Parallelism
import RunConfiguration
import Sharding
import Testing

@testable import Models
@testable import Planning

/// The order of a pass is in `PassSchedule` only: with two of its events swapped, decoder, sharding and planning all change.
@Suite struct PassScheduleTests {
  private static let text = """
    { model_type: qwen3_moe, vocab_size: 4000, hidden_size: 16, intermediate_size: 24, moe_intermediate_size: 12,
      num_hidden_layers: 2, num_experts: 4, num_experts_per_tok: 2, mlp_only_layers: [0], max_position_embeddings: 64,
      num_attention_heads: 2, num_key_value_heads: 1, initializer_range: 0.3 }
    """
  private let configuration: RunConfiguration
  private let layout: ParameterLayout
  private let schedule: PassSchedule
  /// The last block stays unsharded through the head, and is resharded where it should have been gathered again.
  private let swapped: PassSchedule

  init() throws {
    configuration = try RunConfiguration(
      ConfigurationNode.parse(
        """
        run: { name: test, steps: 10 }
        model: \(Self.text)
        data: { sequence_length: 16, train: [ { path: data } ] }
        batch: { sequences: 4, micro_batch: 2 }
        optimizer: { learning_rate: 0.001 }
        """, source: "test"))
    layout = ParameterLayout(configuration.model)
    schedule = .training(layout, recompute: .none)
    let unit = layout.blockUnit(1)
    let reshard = try #require(schedule.events.firstIndex(of: .reshard(unit)))
    let unshard = try #require(schedule.events.lastIndex(of: .unshard(unit)))
    #expect(reshard < unshard)
    var swapped = schedule
    swapped.swapEvents(reshard, unshard)
    self.swapped = swapped
  }

  /// Records its calls.
  private final class Recorder: ParameterSharding {
    let releasesParameters = false
    var events: [PassSchedule.Event] = []
    func unshard(_ unit: Int) { events.append(.unshard(unit)) }
    func reshard(_ unit: Int) { events.append(.reshard(unit)) }
    func beginGradient(_ unit: Int) { events.append(.beginGradient(unit)) }
    func endGradient(_ unit: Int) { events.append(.reduceGradient(unit)) }
  }

  /// A training pass of a decoder: the calls of its parameter sharding, and what a stopwatch measured.
  private func pass(_ schedule: PassSchedule) throws -> (seams: [PassSchedule.Event], laps: [PassSchedule.Event]) {
    let backend = Backend(threads: 1)
    let parameters = Arena<Float>(count: layout.count)
    layout.initialize(parameters.buffer, configuration: configuration.model, seed: 3, backend: backend)
    let recorder = Recorder()
    let decoder = Decoder(
      configuration.model, parameters: parameters.buffer, sequences: 2, length: 16, training: true,
      parameterSharding: recorder, backend: backend)
    decoder.trainingSchedule = schedule
    let stopwatch = Stopwatch(isSparse: configuration.model.sparseLayers)
    decoder.observer = stopwatch.lap
    stopwatch.start()
    let batch = TokenBatch(sequences: 2, length: 16)
    for sequence in 0..<2 { batch.set(sequence: sequence, tokens: (0...16).map { Int32($0 * 3 % 60) }) }
    _ = try decoder.train(
      batch, objective: NormalizedObjective(LanguageModeling(), of: [batch]), microBatches: 1,
      accumulator: FixedPointGradientAccumulator(count: layout.count, microBatches: 1))
    return (recorder.events, stopwatch.laps.map(\.event))
  }

  @Test func theDecoderAndTheStopwatchFollowIt() throws {
    for schedule in [schedule, swapped] {
      let (seams, laps) = try pass(schedule)
      #expect(laps == schedule.events)
      #expect(seams == schedule.events.filter { if case .compute = $0 { false } else { true } })
    }
    #expect(schedule != swapped)
  }

  private func shardingPlan(ranks: Int) -> ShardingPlan {
    ShardingPlan(
      layout: layout, experts: ExpertPlacement(experts: layout.expertCount, ranks: ranks, degree: 1), stage: .full)
  }

  @Test func memoryAndTrafficFollowIt() {
    func memory(_ schedule: PassSchedule) -> Int {
      MemoryPlan(configuration, shardingPlan: shardingPlan(ranks: 2), rank: 0, threads: 1, schedule: schedule).bytes
    }
    func traffic(_ schedule: PassSchedule) -> Double {
      Traffic(shardingPlan(ranks: 2), schedule, rank: 0, microSteps: 1, slots: 0, hidden: 16).parameters
    }
    #expect(memory(swapped) > memory(schedule))
    let unit = layout.blockUnit(1)
    let others = layout.units[unit].count - shardingPlan(ranks: 2).shards[unit][0].count
    #expect(traffic(schedule) - traffic(swapped) == Double(4 * others))
  }

  @Test func theSimulationFollowsIt() {
    func gather(_ schedule: PassSchedule) -> Double {
      var simulation = StepSimulation(
        configuration, shardingPlan: shardingPlan(ranks: 2), schedule: schedule, recompute: .none, rank: 0,
        cluster: Cluster(
          ranks: 2, ranksPerNode: 1, threads: 1, coresPerNode: 2, memoryPerNode: 1 << 40, bandwidth: 1e5, latency: 0),
        rates: Self.rates)
      return simulation.run().gather
    }
    #expect(gather(swapped) < 0.95 * gather(schedule))
  }

  private static var rates: MachineRates {
    let layer = PassWork.Layer(PassWork.Layer.numbers.map { _ in 1e-12 })
    return MachineRates(
      pass: MachineRates.Pass(
        embedding: 1e-12, embeddingGradient: 1e-12, head: 1e-12, accumulation: 1e-12, dense: layer, sparse: layer),
      adamW: 0, muon: 0, norm: 0, zero: 0, copy: 0, copyAndAdd: 0, pageFault: 0, save: 0, oversleep: 0, isExact: true,
      threads: 1, ranks: 1, cores: 2, memory: 1 << 40)
  }

  /// The unit prefetched while the embedding is in use is the one that the schedule unshards next.
  @Test(arguments: [false, true]) func prefetchingFollowsIt(isSwapped: Bool) throws {
    try InProcessRanks.run(ranks: 2) { world in
      let rank = try TinyRank(.sparse, JobLayout(ranks: 2, sharding: .full), world)
      let (layout, state) = (rank.layout, rank.state)
      let (block, head) = (layout.blockUnit(0), layout.headUnit)
      var schedule = rank.engine.decoder.evaluationSchedule
      if isSwapped, let first = schedule.events.firstIndex(of: .unshard(block)),
        let second = schedule.events.firstIndex(of: .unshard(head))
      {
        schedule.swapEvents(first, second)
      }
      state.beginMicroStep(schedule, last: false)
      try state.unshard(layout.embeddingUnit)
      let here = state.unshardedUnits
      try ContractViolation.unless(
        here == [layout.embeddingUnit, isSwapped ? head : block], world, "pieces \(here) were gathered")
    }
  }
}
