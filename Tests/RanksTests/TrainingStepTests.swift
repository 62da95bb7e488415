import MPI
import Models
import Sharding
import Testing

/// Whole training steps: losses, norms, loads and weights have the same bits at any number of ranks, expert-parallel degree
/// and ZeRO stage.
@Suite struct TrainingStepTests {
  private struct Run: Sendable {
    let before: [Float]
    let steps: [TinyRank.Step]
    let weights: [Float]
  }

  private static func run(_ model: TinyModel, _ job: JobLayout) throws -> Run {
    let runs = try InProcessRanks.run(ranks: job.ranks) { world in
      let rank = try TinyRank(model, job, world)
      try rank.initialize()
      let before = try rank.weights()
      let steps = try (1...3).map { try rank.step($0) }
      return Run(before: before, steps: steps, weights: try rank.weights())
    }
    for run in runs.dropFirst() {
      #expect(run.steps == runs[0].steps, "ranks do not agree on what was computed")
      #expect(isSame(run.weights, runs[0].weights), "ranks do not agree on the weights")
    }
    return runs[0]
  }

  /// Bit for bit; a function, because an expectation shows its arrays when they differ, which here takes minutes.
  private static func isSame(_ weights: [Float], _ others: [Float]) -> Bool {
    weights.map(\.bitPattern) == others.map(\.bitPattern)
  }

  private func expectNoTrace(_ model: TinyModel, _ jobs: [JobLayout]) throws {
    let expected = try Self.run(model, JobLayout(ranks: 1, matrixBackend: jobs.first?.matrixBackend ?? .openblas))
    // The comparison is not of nothing: every step has a gradient, and changes weights everywhere.
    #expect(expected.steps.allSatisfy { $0.losses[0] > 0 && $0.norm > 0 })
    #expect(Set(expected.steps.map(\.losses)).count == 3)
    let changed = zip(expected.before, expected.weights).count { $0 != $1 }
    #expect(10 * changed > 9 * expected.weights.count)
    for job in jobs {
      let found = try Self.run(model, job)
      #expect(Self.isSame(found.before, expected.before), "\(job.testDescription): at the start")
      #expect(found.steps == expected.steps, "\(job.testDescription)")
      #expect(Self.isSame(found.weights, expected.weights), "\(job.testDescription): weights")
    }
  }

  @Test(arguments: [TinyModel.dense, .scaled, .shifted], 1...4) func denseModel(_ model: TinyModel, ranks: Int) throws {
    try expectNoTrace(model, JobLayout.all(degrees: 1...1).filter { $0.ranks == ranks })
  }

  @Test(arguments: [TinyModel.sparse, .biased, .bounded], 1...4) func mixtureOfExperts(_ model: TinyModel, ranks: Int)
    throws
  {
    try expectNoTrace(model, JobLayout.all().filter { $0.ranks == ranks })
  }

  /// Packed weights are those of the step, in every unit that is gathered, released and gathered again.
  @Test(arguments: TinyModel.allCases) func packedWeights(_ model: TinyModel) throws {
    var jobs = JobLayout.all(degrees: model == .sparse || model == .biased ? 1...2 : 1...1).filter { $0.ranks < 3 }
    jobs.append(JobLayout(ranks: 2, sharding: .full, recompute: .block))
    try expectNoTrace(
      model,
      jobs.map { job in
        var job = job
        job.matrixBackend = .native
        return job
      })
  }

  /// Activation recomputation gives the same bits.
  @Test(arguments: TinyModel.allCases, [Recomputation.attention, .block])
  func recomputation(_ model: TinyModel, _ recompute: Recomputation) throws {
    let degrees = model == .dense ? [1] : [1, 2]
    let jobs = degrees.flatMap { degree in
      [ZeROStage.optimizer, .full].map {
        JobLayout(ranks: 2, degree: degree, sharding: $0, recompute: recompute)
      }
    }
    try expectNoTrace(model, [JobLayout(ranks: 1, recompute: recompute)] + jobs)
  }
}
