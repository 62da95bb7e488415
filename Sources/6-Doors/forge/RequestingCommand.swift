import ArgumentParser
import Commands

/// The options of all commands.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Print one JSON document: the result, or the error.")
  var json = false
}

/// A command line command: parses arguments to a request, runs it and prints the result.
protocol RequestingCommand: ParsableCommand {
  associatedtype Request: Command

  var output: OutputOptions { get }
  /// The request of the parsed arguments.
  ///
  /// - Throws: `ForgeError` for invalid arguments.
  func request() throws -> Request
}

extension RequestingCommand {
  func run() throws { try Printing.run(request(), isJSON: output.json) }
}
