import ArgumentParser
import Kernels
import MPI
import RunConfiguration
import Support
import Training

/// The program that MPI launches.
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

  /// Loads the kernels, which are chosen by then, for who asks; every other parsing must not.
  private static var version: String {
    guard CommandLine.arguments.contains("--version") else { return Version.current }
    return "forge-dist \(Version.current) (CPU kernels \(KernelFamily.current), \(KernelFamily.libraryDescription), "
      + "\(LibraryVersion.description))"
  }

  /// The kernels are chosen before anything else happens.
  static func main() {
    ErrorReport.goesToStandardOutput = Printing.isJSON
    KernelFamily.pin(Self.settings(of: CommandLine.arguments)?.kernelFamily)
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch { Printing.end(with: error) }
  }

  /// The `run:` section that these arguments lead to, if it can be read; what is wrong with it is told later.
  private static func settings(of arguments: [String]) -> RunConfiguration.Run? {
    switch try? parseAsRoot(Array(arguments.dropFirst())) {
    case let train as Train: train.settings
    case let replay as ReplayCommand: replay.settings?.run
    default: nil
    }
  }
}
