import Kernels
import MPI
import Models
import Optimizers
import Parallelism
import Testing

/// The sharded optimizer: norm, update and moments are those of one rank without sharding.
@Suite struct ShardedOptimizerTests {
  /// The gradient of an element in the first step; the lowest rank that holds the element contributes all of it.
  private static func gradient(_ index: Int) -> Float { Float((index * 7919) % 1009 - 504) / 512 }

  private struct Outcome: Sendable, Equatable {
    var norms: [Double] = []
    var weights: [Float] = []
    var gradients: [Float] = []
    /// The first moments in this rank's update ranges, `[parameters]`; nil elsewhere.
    var moments: [Float?] = []
    /// The second ones, which Muon's tensors lack.
    var secondMoments: [Float?] = []
  }

  private static func outcomes(_ model: TinyModel, _ job: JobLayout) throws -> [Outcome] {
    try InProcessRanks.run(ranks: job.ranks) { world in
      let rank = try TinyRank(model, job, world)
      try rank.initialize()
      var outcome = Outcome()
      for step in 1...2 {
        rank.state.zeroGradients()
        rank.state.beginMicroStep(rank.engine.decoder.trainingSchedule, last: true)
        let holders = rank.layout.units.indices.map { rank.shardingPlan.holders(unit: $0, of: world.rank) }
        try rank.backward { unit, index in
          holders[unit][0] == world.rank ? Float(step) * gradient(index) : 0
        }
        let gradients = try rank.engine.optimizer.completeGradients()
        outcome.gradients = withExtendedLifetime(gradients) { gradients.buffer.array() }
        outcome.norms.append(try rank.engine.optimizer.gradientNorm())
        rank.engine.optimizer.update(step: step, learningRate: 0.01, gradientScale: 0.5)
        rank.state.gatherParameters()
        outcome.weights = try rank.weights()
      }
      try rank.engine.optimizer.gatherMoments()
      outcome.moments = .init(repeating: nil, count: rank.layout.count)
      outcome.secondMoments = outcome.moments
      for part in rank.engine.optimizer.optimizer.slices {
        for (place, index) in part.range.enumerated() {
          outcome.moments[index] = part.first[place]
          if let second = part.second { outcome.secondMoments[index] = second[place] }
        }
      }
      return outcome
    }
  }

  @Test(arguments: TinyModel.allCases) func shardsMakeTheUpdateOfOneRank(_ model: TinyModel) throws {
    let expected = try Self.outcomes(model, JobLayout(ranks: 1))[0]
    let layout = ParameterLayout(try model.configuration())
    let isSummed = expected.gradients == (0..<layout.count).map { 2 * Self.gradient($0) }
    #expect(isSummed)
    let squares = expected.gradients.reduce(0.0) { $0 + Double($1) * Double($1) }
    #expect(abs(expected.norms[1] / squares.squareRoot() - 1) < 1e-9)
    for job in JobLayout.all(degrees: 1...(model == .dense ? 1 : 4)) {
      let outcomes = try Self.outcomes(model, job)
      var updaters = [Int](repeating: 0, count: layout.count)
      for (rank, outcome) in outcomes.enumerated() {
        let place = "\(job.testDescription), rank \(rank)"
        #expect(outcome.norms == expected.norms, "\(place): norm")
        // An expectation would show all elements of arrays that differ.
        let (hasWeights, hasGradients) = (
          outcome.weights == expected.weights, outcome.gradients == expected.gradients
        )
        #expect(hasWeights, "\(place): weights")
        #expect(hasGradients, "\(place): gradients")
        var wrong: Int?
        for index in 0..<layout.count where outcome.moments[index] != nil {
          updaters[index] += 1
          if outcome.moments[index] != expected.moments[index] { wrong = index }
          if outcome.secondMoments[index] != expected.secondMoments[index] { wrong = index }
        }
        #expect(wrong == nil, "\(place): moments of element \(wrong ?? 0)")
      }
      #expect(!updaters.contains(0), "\(job.testDescription): somebody updates everything")
      if job.sharding != .none { #expect(!updaters.contains { $0 > 1 }, "\(job.testDescription): once") }
    }
  }
}

extension TinyRank {
  /// Submits a gradient of every unit, in the order of a backward pass.
  func backward(_ gradient: (_ unit: Int, _ index: Int) -> Float) throws {
    for unit in layout.units.indices.reversed() {
      let range = shardingPlan.computeRange(unit: unit, by: world.rank)
      let values = Arena<Float>(count: range.count)
      for (place, index) in range.enumerated() { values.buffer[place] = gradient(unit, index) }
      try state.beginGradient(unit)
      engine.accumulator.add(values.buffer, at: range, backend: engine.backend)
      state.endGradient(unit)
    }
  }
}
