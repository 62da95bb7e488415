import ArgumentParser
import MPI
import RunConfiguration
import Support
import Training

struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train, or continue a run whose directory holds a checkpoint.",
    discussion: """
      Exit codes: 0 done, 64 bad input, 70 a bug, 75 stopped on request (SIGUSR1, SIGTERM) or by a machine's failure: run
      the same line again to continue.
      --json prints one JSON document at the end: the run, its step, losses and weights, or the error.
      """)

  @Argument(help: "A YAML file; without one, the built-in quickstart recipe.")
  var config: String?

  @Option(name: .customLong("set"), parsing: .singleValue, help: "Override a setting: key.path=value. May be repeated.")
  var overrides: [String] = []

  @Option(
    help: ArgumentHelp(
      "Write the first step's gradients to a safetensors file and stop, for comparisons.", valueName: "file"))
  var dumpGradients: String?

  @OptionGroup(title: "The settings of a configuration")
  var settingsHelp: SettingsOptions

  func run() throws {
    if try settingsHelp.answer() { return }
    Launcher.run(program: "forge-dist", threads: settings?.threads ?? 1, format: Printing.format) { world in
      let configuration = try RunConfiguration.load(path: config, overrides: overrides)
      let trainer = try Trainer(configuration, communicator: world)
      if let dumpGradients {
        try trainer.dumpGradients(to: dumpGradients)
        if world.rank == 0 { Printing.result(nil, .object([("gradients", .string(dumpGradients))])) }
        return 0
      }
      let code = try trainer.run()
      if world.rank == 0 { Printing.result(nil, trainer.outcome.json) }
      return code
    }
  }

  var settings: RunConfiguration.Run? {
    try? RunConfiguration.load(path: config, overrides: overrides).run
  }
}
