import ArgumentParser
import Commands
import Planning

struct PlanCommand: RequestingCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Predict a run's memory, speed and schedule, and find its best layout.",
    discussion: """
      Measures this machine for a few seconds with the run's own layers; run it on a node like those that will train.
      --json has seconds and bytes.

      EXAMPLES
        forge plan configs/moe-37m.yaml --ranks 2
        forge plan configs/mixtral-8x7b-pretrain.yaml --ranks 512 --ranks-per-node 8 --threads 8 --memory 512
        forge plan configs/moe-128e-119b.yaml --ranks 64 512 4096 --ranks-per-node 8 --threads 8 --memory 512
      """)

  @Argument(help: "A YAML file; without one, the built-in quickstart recipe.")
  var config: String?

  @Option(parsing: .upToNextOption, help: "MPI ranks in all; several numbers are compared in a table.")
  var ranks: [Int]

  @Option(help: "Ranks on a node; by default as many as this machine has cores for.")
  var ranksPerNode: Int?

  @Option(help: "Threads of a rank; by default the configuration's, or an equal share of this machine's cores.")
  var threads: Int?

  @Option(help: ArgumentHelp("Cores of a node.", valueName: "cores"))
  var cores: Int?

  @Option(help: ArgumentHelp("Memory of a node; by default this machine's.", valueName: "GiB"))
  var memory: Double?

  @Option(help: ArgumentHelp("Bandwidth into, and out of, a node (default: 12.5).", valueName: "GB/s"))
  var network: Double?

  @Option(help: ArgumentHelp("What a message between nodes takes beside its bytes (default: 2).", valueName: "µs"))
  var latency: Double?

  @Option(help: ArgumentHelp("A job's time limit.", valueName: "hours"))
  var hours = 24.0

  @Option(help: ArgumentHelp("Mean time between failures of a node (five years).", valueName: "hours"))
  var mtbf = 43_800.0

  @Option(help: "Tokens to train on; by default the configuration's steps.")
  var tokens: Double?

  @Option(name: .customLong("set"), parsing: .singleValue, help: "Override a setting: key.path=value. May be repeated.")
  var overrides: [String] = []

  @OptionGroup
  var output: OutputOptions

  func request() -> PlanRun {
    var request = PlanRequest(hours: hours, failureHours: mtbf)
    (request.ranksPerNode, request.threads, request.coresPerNode) = (ranksPerNode, threads, cores)
    (request.memory, request.bandwidth, request.latency, request.tokens) = (memory, network, latency, tokens)
    return PlanRun(configuration: config, overrides: overrides, ranks: ranks, request: request)
  }
}
