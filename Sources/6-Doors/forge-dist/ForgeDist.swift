import ArgumentParser
import Kernels
import MPI
import RunConfiguration
import Support
import Training

/// The training program, which MPI launches on every rank.
@main
struct ForgeDist: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "forge-dist",
    abstract: "Train a language model over MPI ranks.",
    discussion: """
      mpirun -n 2 forge-dist                                   the built-in quickstart recipe
      mpirun -n 64 forge-dist configs/pretrain-moe.yaml        the same line again continues the run
      mpirun -n 2 forge-dist run.yaml --set optimizer.learning_rate=3e-4
      forge-dist --help-config                                 every setting of a configuration
      forge-dist --help-config optimizer                       those of a section, or one of them
      """,
    version: version,
    subcommands: [Train.self, ReplayCommand.self],
    defaultSubcommand: Train.self)

  /// The version text. Only with `--version` does it load the kernels: in a run, `main` pins their family first.
  private static var version: String {
    guard CommandLine.arguments.contains("--version") else { return Version.current }
    return "forge-dist \(Version.current) (CPU kernels \(KernelFamily.current), \(KernelFamily.libraryDescription), "
      + "\(LibraryVersion.description))"
  }

  /// Pins the CPU kernel family of the settings before anything loads the kernels, then runs the command.
  static func main() {
    ErrorReport.goesToStandardOutput = Printing.isJSON
    KernelFamily.pin(Self.settings(of: CommandLine.arguments)?.kernelFamily)
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch { Printing.end(with: error) }
  }

  /// The `run:` section of the settings that the arguments name; nil if it is invalid, which `run` reports later.
  private static func settings(of arguments: [String]) -> RunConfiguration.Run? {
    switch try? parseAsRoot(Array(arguments.dropFirst())) {
    case let train as Train: train.settings
    case let replay as ReplayCommand: replay.settings?.run
    default: nil
    }
  }
}
