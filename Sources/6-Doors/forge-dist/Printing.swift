import ArgumentParser
import Foundation
import MPI
import Support

/// Prints results and errors: the only writer to standard output and standard error in this program's sources.
enum Printing {
  /// Whether `--json` is among the arguments.
  static let isJSON = ErrorReport.isRequested(by: CommandLine.arguments.dropFirst())

  /// Prints a result as text, or with `--json` as a JSON document on one line.
  static func result(_ text: String?, _ json: JSONLine) {
    if isJSON { write(json.text + "\n", to: STDOUT_FILENO) } else if let text { write(text, to: STDOUT_FILENO) }
  }

  /// Prints text, with or without `--json`.
  static func text(_ text: String) { write(text, to: STDOUT_FILENO) }

  /// The launcher's formatter of failures as JSON documents; nil without `--json`.
  static var format: Launcher.Format? {
    guard isJSON else { return nil }
    return { report($0).document.text }
  }

  private static func report(_ failure: Launcher.Failure) -> ErrorReport {
    guard let error = failure.error as? ForgeError else {
      let code: ForgeError.Code =
        failure.error == nil
        ? .invalidArgument : failure.exitCode == ForgeError.Kind.tryAgain.exitCode ? .rankFailed : .internalError
      return ErrorReport(code: code, message: failure.sentence, exitCode: failure.exitCode)
    }
    return ErrorReport(
      code: error.code, message: failure.sentence, keyPath: error.keyPath, hint: error.hint, exitCode: failure.exitCode)
  }

  /// Prints an error from before MPI starts, once in a job, and ends the process with its exit code.
  static func end(with error: any Error) -> Never {
    let isLeader = LaunchEnvironment.current.rank == 0
    if let error = error as? ForgeError {
      if isLeader, isJSON { result(nil, ErrorReport(error).document) }
      if isLeader { write("forge-dist: \(error)\n", to: STDERR_FILENO) }
      Foundation.exit(error.exitCode)
    }
    // Only rank 0 prints help and errors in the arguments.
    let code = ForgeDist.exitCode(for: error).rawValue
    guard isLeader else { Foundation.exit(code) }
    if isJSON, code != 0 {
      result(nil, ErrorReport(parserMessage: ForgeDist.message(for: error), exitCode: code).document)
    }
    ForgeDist.exit(withError: error)
  }

  private static func write(_ text: String, to descriptor: Int32) {
    fflush(nil)
    let bytes = Array(text.utf8)
    _ = Foundation.write(descriptor, bytes, bytes.count)
  }
}
