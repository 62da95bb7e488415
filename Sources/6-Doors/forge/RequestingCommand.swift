import ArgumentParser
import Commands

/// What all commands have in common.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Print one JSON document: the result, or the error.")
  var json = false
}

/// A command of this program: arguments that become a request.
protocol RequestingCommand: ParsableCommand {
  associatedtype Request: Command

  var output: OutputOptions { get }
  /// - Throws: `ForgeError` for arguments that make none.
  func request() throws -> Request
}

extension RequestingCommand {
  func run() throws { try Printing.run(request(), isJSON: output.json) }
}
