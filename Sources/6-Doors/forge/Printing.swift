import ArgumentParser
import Commands
import Foundation
import Support

/// Prints results and errors: the only writer to standard output and standard error in this program's sources.
enum Printing {
  /// An error whose JSON document is already printed, and its message not yet.
  private struct Documented: Error {
    let error: ForgeError
  }

  /// Runs a request and prints its result.
  ///
  /// - Throws: the request's error, or that of its result; `ExitCode` for a result with an exit code and no error.
  static func run(_ request: some Command, isJSON: Bool) throws {
    let stream: ([UInt8]) throws -> Void = isJSON ? { _ in } : { try write($0) }
    let result = try request.run(CommandSinks(stream: stream, note: { tell($0) }))
    if isJSON { try write(Array(result.document.utf8)) } else { try printText(of: result) }
    if let failure = result.failure { throw isJSON ? Documented(error: failure) : failure }
    if result.exitCode != 0 { throw ExitCode(result.exitCode) }
  }

  private static func printText<Result: CommandResult>(of result: Result) throws {
    if !Result.isStreamed { try write(Array(result.text.utf8)) }
  }

  /// Prints an error and ends the process with its exit code.
  ///
  /// - Parameter isJSON: whether `--json` is among the arguments.
  static func end(with error: any Error, isJSON: Bool) -> Never {
    switch error {
    case let error as Documented: end(with: error.error)
    case let error as ForgeError:
      if isJSON { document(ErrorReport(error)) }
      end(with: error)
    case is ExitCode, is CleanExit: Forge.exit(withError: error)
    default:
      let code = Forge.exitCode(for: error).rawValue
      if isJSON, code != 0 {
        document(ErrorReport(parserMessage: Forge.message(for: error), exitCode: code))
      }
      Forge.exit(withError: error)
    }
  }

  private static func end(with error: ForgeError) -> Never {
    tell("\(error)")
    Foundation.exit(error.exitCode)
  }

  private static func document(_ report: ErrorReport) { try? write(Array((report.document.text + "\n").utf8)) }

  /// Prints a message on standard error.
  private static func tell(_ sentence: String) {
    FileHandle.standardError.write(Data("forge: \(sentence)\n".utf8))
  }

  /// Writes to standard output without a buffer, so that generated text appears at once.
  ///
  /// - Throws: `ForgeError.tryAgain` when the write fails, such as for a full disk.
  private static func write(_ bytes: [UInt8]) throws {
    guard !bytes.isEmpty else { return }
    do { try FileHandle.standardOutput.write(contentsOf: Data(bytes)) } catch {
      throw ForgeError.tryAgain(
        "cannot write to standard output: \(systemReason(of: error))", code: .system(error, else: .writeFailed))
    }
  }
}
