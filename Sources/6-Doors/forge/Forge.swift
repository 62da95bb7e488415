import ArgumentParser
import Kernels
import Support

/// The command line program for everything that needs no MPI.
@main
struct Forge: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "forge",
    abstract: "Prepare data, train tokenizers, and use the models that forge-dist trains.",
    discussion: """
      EXAMPLES
        forge generate --model runs/quickstart --prompt 'A package must'
        forge score --model runs/quickstart --tokens ids.jsonl
        forge export runs/quickstart my-model

      Exit codes: 0 done, 1 checkpoints differ, 3 a ledger is not sound, 64 bad input, 70 a bug, 75 a machine's failure \
      such as a full disk: try again.
      """,
    version: version,
    subcommands: [
      DataCommand.self, TokenizerCommand.self, ScoreCommand.self, GenerateCommand.self, ExportCommand.self,
      CheckpointCommand.self, RunsCommand.self, CurveCommand.self, LedgerCommand.self, PlanCommand.self,
      WhyCommand.self,
    ])

  /// The version text. Only with `--version` does it load the kernels, to name them: most commands need none.
  private static var version: String {
    guard CommandLine.arguments.contains("--version") else { return Version.current }
    return "forge \(Version.current) (CPU kernels \(KernelFamily.current), \(KernelFamily.libraryDescription))"
  }

  /// Joins `--prompt TEXT` to `--prompt=TEXT`: the parser takes a value that begins with three dashes for an option.
  static func joiningPrompt(_ arguments: [String]) -> [String] {
    guard arguments.first == "generate", let place = arguments.firstIndex(of: "--prompt"),
      place + 1 < arguments.count, arguments[place + 1].hasPrefix("-")
    else { return arguments }
    return arguments[..<place] + ["--prompt=" + arguments[place + 1]] + arguments[(place + 2)...]
  }

  static func main() {
    let arguments = joiningPrompt(PathBytes.arguments)
    let isJSON = ErrorReport.isRequested(by: arguments)
    ErrorReport.goesToStandardOutput = isJSON
    do {
      var command = try parseAsRoot(arguments)
      try checkPaths(PathBytes.arguments, of: command)
      try command.run()
    } catch { Printing.end(with: error, isJSON: isJSON) }
  }

  /// Validates that arguments are UTF-8, for commands that need it.
  ///
  /// - Throws: `ForgeError.badInput` for an argument that is not.
  private static func checkPaths(_ arguments: [String], of command: any ParsableCommand) throws {
    // These commands accept paths that are not UTF-8.
    guard !(command is DataCommand.Prepare || command is TokenizerCommand.Train || command is TokenizerCommand.Encode)
    else { return }
    let prompt = (command as? GenerateCommand)?.prompt
    for argument in arguments where argument != prompt && argument != "--prompt=\(prompt ?? "")" {
      try PathBytes.requireUTF8(argument, for: "this command")
    }
  }
}
