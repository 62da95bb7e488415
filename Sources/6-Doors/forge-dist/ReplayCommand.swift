import ArgumentParser
import MPI
import RunConfiguration
import Support
import Training

struct ReplayCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replay",
    abstract: "Compute steps of a run again and prove that they give the same bits.",
    discussion: """
      Starts from the newest checkpoint before the interval, at any number of ranks, and compares every step with the \
      run's ledger. The run itself is left as it is. Exit codes: 0 identical, 1 a step differs, 64 bad input.
      """)

  @Argument(help: "The run's directory.")
  var directory: String

  @Option(help: "The first step to compare.")
  var fromStep: Int

  @Option(help: "The last step to compare.")
  var toStep: Int

  @Option(name: .customLong("set"), parsing: .singleValue, help: "Override a setting: key.path=value. May be repeated.")
  var overrides: [String] = []

  @Flag(help: "Print one JSON document: the verdict, or the error.")
  var json = false

  func run() throws {
    Launcher.run(program: "forge-dist", threads: settings?.run.threads ?? 1, format: Printing.format) { world in
      guard fromStep >= 1, fromStep <= toStep else {
        throw ForgeError.badInput(
          "there are no steps from \(fromStep) to \(toStep)", hint: "--from-step is at least 1", code: .invalidArgument)
      }
      let verdict = try Replay(load(), communicator: world, steps: fromStep...toStep).run()
      if world.rank == 0 {
        let text =
          switch verdict {
          case .identical(let steps): "\(steps) steps, \(fromStep) to \(toStep): identical, bit for bit\n"
          case .differs(let step, let how): "step \(step) is the first that differs: \(how)\n"
          }
        Printing.result(text, verdict.json(steps: fromStep...toStep))
      }
      return verdict.exitCode
    }
  }

  var settings: RunConfiguration? { try? load() }

  private func load() throws -> RunConfiguration {
    var configuration = try RunConfiguration.load(
      path: RunDirectory(path: directory).configuration, overrides: overrides)
    configuration.run.directory = directory  // it may have been moved
    return configuration
  }
}
