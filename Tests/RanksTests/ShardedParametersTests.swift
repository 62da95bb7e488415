import Kernels
import MPI
import Models
import Parallelism
import Sharding
import Testing

/// Sharded parameters: a unit's compute range is there when a pass reads it, and gradient sums are complete in the owners'
/// shards, at every ZeRO stage. Values instead of a model, so that every element is identified.
@Suite struct ShardedParametersTests {
  /// Element `index` of the parameters, after `version` updates.
  private static func parameter(_ index: Int, _ version: Int) -> Float { Float((index + 1000 * version) % 100_003) }

  /// What `rank` adds to the gradient of an element in a micro-step: a multiple of 2⁻⁶, so that fixed point is exact.
  private static func gradient(_ rank: Int, _ index: Int, round: Int) -> Float {
    Float((rank * 31 + index * 7 + round * 5) % 13 - 6) / 64
  }

  private static let jobs = JobLayout.all()

  @Test(arguments: jobs) func aPassFindsItsParametersAndSumsItsGradients(_ job: JobLayout) throws {
    try InProcessRanks.run(ranks: job.ranks) { world in
      let rank = try TinyRank(.sparse, job, world)
      rank.fillShards { Self.parameter($0, 0) }
      try rank.state.gatherShards()
      rank.state.zeroGradients()
      for round in 0..<2 {
        rank.state.beginMicroStep(rank.engine.decoder.trainingSchedule, last: round == 1)
        try rank.pass {
          Self.parameter($0, 0)
        } gradient: {
          Self.gradient(world.rank, $0, round: round)
        }
      }
      try rank.state.waitForGradients()
      try rank.expectSums { rank, index in (0..<2).reduce(0) { $0 + Self.gradient(rank, index, round: $1) } }

      // An update of the rank's update ranges, which the next forward pass must see.
      for range in rank.state.updateRange {
        for index in range { rank.parameters[index] = Self.parameter(index, 1) }
      }
      rank.state.gatherParameters()
      rank.state.beginMicroStep(rank.engine.decoder.evaluationSchedule, last: false)
      try rank.forward { Self.parameter($0, 1) }
      let weights = try rank.weights()
      let wrong = weights.indices.first { weights[$0] != Self.parameter($0, 1) }
      try ContractViolation.unless(wrong == nil, world, "parameter \(wrong ?? 0) after all")
    }
  }

  /// With full sharding, memory beyond a rank's shards is freed between passes.
  @Test(arguments: jobs.filter { $0.sharding == .full && $0.ranks > 1 }) func whatIsReleasedIsGone(_ job: JobLayout)
    throws
  {
    try InProcessRanks.run(ranks: job.ranks) { world in
      let rank = try TinyRank(.sparse, job, world)
      rank.fillShards { 1 + Self.parameter($0, 0) }
      rank.state.beginMicroStep(rank.engine.decoder.evaluationSchedule, last: false)
      try rank.forward { 1 + Self.parameter($0, 0) }
      for (unit, range) in rank.layout.units.enumerated() {
        let mine = rank.shardingPlan.shards[unit][world.rank]
        let wrong = range.first { (rank.parameters[$0] != 0) != mine.contains($0) }
        try ContractViolation.unless(wrong == nil, world, "parameter \(wrong ?? 0) of piece \(unit)")
      }
    }
  }
}

extension TinyRank {
  func fillShards(_ value: (Int) -> Float) {
    for range in state.shards { for index in range { parameters[index] = value(index) } }
  }

  /// Unshards and reshards as a decoder does, and expects these parameters.
  func forward(_ parameter: (Int) -> Float) throws {
    try forwardBlocks(parameter)
    try visit(layout.headUnit, parameter)
  }

  private func forwardBlocks(_ parameter: (Int) -> Float) throws {
    try visit(layout.embeddingUnit, parameter)
    for layer in layout.blocks.indices {
      try state.unshard(layout.blockUnit(layer))
      try expect(layout.blockUnit(layer), parameter)
      if let experts = layout.expertsUnit(layer) { try visit(experts, parameter) }
      state.reshard(layout.blockUnit(layer))
    }
  }

  /// A forward and a backward pass that adds a gradient to all of this rank's compute ranges.
  func pass(_ parameter: (Int) -> Float, gradient: (Int) -> Float) throws {
    try forwardBlocks(parameter)
    try visit(layout.headUnit, parameter) { try add(layout.headUnit, gradient) }
    for layer in layout.blocks.indices.reversed() {
      try visit(layout.blockUnit(layer), parameter) {
        if let experts = layout.expertsUnit(layer) {
          try visit(experts, parameter) { try add(experts, gradient) }
        }
        try add(layout.blockUnit(layer), gradient)
      }
    }
    try add(layout.embeddingUnit, gradient)
  }

  private func visit(_ unit: Int, _ parameter: (Int) -> Float, _ body: () throws -> Void = {}) throws {
    try state.unshard(unit)
    try expect(unit, parameter)
    try body()
    state.reshard(unit)
  }

  private func expect(_ unit: Int, _ parameter: (Int) -> Float) throws {
    let wrong = shardingPlan.computeRange(unit: unit, by: world.rank).first { parameters[$0] != parameter($0) }
    try ContractViolation.unless(wrong == nil, world, "parameter \(wrong ?? 0) of piece \(unit)")
  }

  private func add(_ unit: Int, _ gradient: (Int) -> Float) throws {
    let range = shardingPlan.computeRange(unit: unit, by: world.rank)
    let values = Arena<Float>(count: range.count)
    for (place, index) in range.enumerated() { values.buffer[place] = gradient(index) }
    try state.beginGradient(unit)
    engine.accumulator.add(values.buffer, at: range, backend: engine.backend)
    state.endGradient(unit)
  }

  /// Expects exact sums, over the ranks that hold an element, in all of this rank's update ranges.
  ///
  /// - Parameter contribution: of a rank to an element.
  func expectSums(_ contribution: (Int, Int) -> Float) throws {
    for unit in layout.units.indices {
      let holders = shardingPlan.holders(unit: unit, of: world.rank)
      let wrong = state.updateRange[unit].first { index in
        let sum = holders.reduce(0) { $0 + contribution($1, index) }
        return engine.accumulator.sums[index] != Int64(Double(sum) * 0x1p52)
      }
      try ContractViolation.unless(wrong == nil, world, "sum \(wrong ?? 0) of piece \(unit)")
    }
  }
}
