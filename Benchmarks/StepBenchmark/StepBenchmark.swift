import ArgumentParser
import Batches
import Foundation
import Kernels
import MPI
import Models
import RunConfiguration
import Support

/// Measures variants of a training step in turn, so that other work on the machine affects all of them alike.
///
/// Run under `mpirun` by `scripts/benchmark-exactness`.
@main
struct StepBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "step-benchmark",
    abstract: "Time variants of a training step, alternating step by step, on random tokens.",
    discussion: """
      Every rank has one micro-batch a step. Prints the variants' names, then for every round of steps their seconds:
      those of the slowest rank.
      """)

  enum Variant: String, CaseIterable, ExpressibleByArgument {
    /// Exact 64-bit sums, as a run has them.
    case exact
    /// fp32 sums by MPI_Allreduce.
    case plain
    /// Exact accumulation without any communication.
    case silent
    /// Exact sums, with expert parallelism over all ranks.
    case spread
    /// The same, without shadowed experts.
    case fixed
    /// As `spread`, with all ranks taken to be equally fast.
    case even
  }

  @Argument(help: "A YAML file.")
  var config: String

  @Option(name: .customLong("set"), parsing: .singleValue, help: "Override a setting: key.path=value. May be repeated.")
  var overrides: [String] = []

  @Option(parsing: .upToNextOption, help: "Which of \(Variant.allCases.map(\.rawValue).joined(separator: ", ")).")
  var variants: [Variant] = [.exact, .plain, .silent]

  @Option(help: "Steps of each variant.")
  var rounds = 20

  @Option(help: "Steps of each variant before them, which are not timed.")
  var warmup = 2

  @Flag(help: "Print processor time, mean over ranks: less disturbed by other programs, and blind to idle waiting.")
  var processorTime = false

  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      if LaunchEnvironment.current.rank == 0 { exit(withError: error) }
      Foundation.exit(exitCode(for: error).rawValue)
    }
  }

  func run() throws {
    Launcher.run(program: "step-benchmark") { world in
      let configuration = try RunConfiguration.load(path: config, overrides: overrides)
      let backend = Backend(threads: configuration.run.threads ?? 1)
      let steps = try makeSteps(configuration, world, backend)
      if world.rank == 0 { print(variants.map(\.rawValue).joined(separator: "\t")) }
      for round in 0..<warmup + rounds {
        let batch = Self.randomBatch(configuration, round: round, rank: world.rank)
        var seconds = [Double](repeating: 0, count: steps.count)
        var norms = seconds
        for place in steps.indices {
          // Every variant comes first, second, … equally often, and after every other one.
          let turn = round + (round.isMultiple(of: 2) ? place : steps.count - place)
          let index = turn % steps.count
          try world.barrier()
          let start = now()
          norms[index] = try steps[index](round + 1, batch)
          let used = now() - start
          seconds[index] =
            try processorTime ? world.allReduce(used, .sum) / Double(world.size) : world.allReduce(used, .max)
        }
        try check(norms)
        if round >= warmup, world.rank == 0 {
          print(seconds.map { String(format: "%.6f", $0) }.joined(separator: "\t"))
          fflush(nil)
        }
      }
      return 0
    }
  }

  /// Seconds.
  private func now() -> Double {
    var time = timespec()
    clock_gettime(processorTime ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  private typealias Step = (_ number: Int, _ batch: TokenBatch) throws -> Double

  private func makeSteps(
    _ configuration: RunConfiguration, _ world: Communicator, _ backend: Backend
  ) throws -> [Step] {
    let degree = configuration.parallelism.expert ?? 1
    if variants.contains(.plain), degree > 1 {
      throw ForgeError.badInput("plain sums are for parallelism.expert = 1, not \(degree)", code: .invalidArgument)
    }
    var models: [Variant: StepModel] = [:]
    return try variants.map { variant in
      let isSpread = [.spread, .fixed, .even].contains(variant)
      var configuration = configuration
      if variant == .fixed { configuration.parallelism.shadowExperts = .never }
      if variant == .even { configuration.parallelism.balance = .even }
      let kind = isSpread ? variant : .exact
      let model =
        try models[kind]
        ?? StepModel(configuration, expertDegree: isSpread ? world.size : degree, world: world, backend: backend)
      models[kind] = model
      let way: any StepVariant =
        switch variant {
        case .exact, .spread, .fixed, .even: ExactVariant(model)
        case .plain: try PlainVariant(model)
        case .silent: SilentVariant(model)
        }
      return { try model.step($0, $1, way) }
    }
  }

  /// Validates the variants: all that communicate must have the same gradient, exact ones the same bits.
  private func check(_ norms: [Double]) throws {
    func found(by kinds: Set<Variant>) -> [Double] {
      zip(variants, norms).filter { kinds.contains($0.0) }.map(\.1)
    }
    let exact = found(by: [.exact, .spread, .fixed, .even])
    let all = exact + found(by: [.plain])
    guard let first = all.first else { return }
    guard exact.allSatisfy({ $0 == exact[0] }), all.allSatisfy({ abs($0 - first) <= 1e-5 * first }) else {
      throw ForgeError(.bug, "the variants' gradients differ: their norms are \(norms)", code: .internalError)
    }
  }

  /// Uniformly distributed tokens, the same for all variants of a round.
  private static func randomBatch(_ configuration: RunConfiguration, round: Int, rank: Int) -> TokenBatch {
    let (sequences, length) = (configuration.batch.microBatch, configuration.data.sequenceLength)
    let random = CounterBasedRandom(seed: configuration.run.seed, stream: UInt64(round) << 32 + UInt64(rank))
    let batch = TokenBatch(sequences: sequences, length: length)
    for sequence in 0..<sequences {
      let tokens = (0...length).map { place in
        Int32(random.uniform(UInt64(sequence * (length + 1) + place)) * Double(configuration.model.vocabularySize))
      }
      batch.set(sequence: sequence, tokens: tokens)
    }
    return batch
  }
}
