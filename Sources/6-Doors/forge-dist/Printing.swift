import ArgumentParser
import Foundation
import MPI
import Support

/// How results and errors get out of this program.
enum Printing {
  /// Whether `--json` is among the arguments.
  static let isJSON = ErrorReport.isAskedFor(by: CommandLine.arguments.dropFirst())

  /// A result as text, or with `--json` as a document of a line.
  static func result(_ text: String?, _ json: JSONLine) {
    if isJSON { write(json.text + "\n", to: STDOUT_FILENO) } else if let text { write(text, to: STDOUT_FILENO) }
  }

  /// Text in any case.
  static func text(_ text: String) { write(text, to: STDOUT_FILENO) }

  /// What the launcher makes of a failure; nil without `--json`.
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

  /// Tells, once in a job, an error that came before MPI did, and ends the process.
  static func end(with error: any Error) -> Never {
    let isLeader = LaunchEnvironment.current.rank == 0
    if let error = error as? ForgeError {
      if isLeader, isJSON { result(nil, ErrorReport(error).document) }
      if isLeader { write("forge-dist: \(error)\n", to: STDERR_FILENO) }
      Foundation.exit(error.exitCode)
    }
    // What is wrong with the arguments, or help, is said once and not by every rank.
    let code = ForgeDist.exitCode(for: error).rawValue
    guard isLeader else { Foundation.exit(code) }
    if isJSON, code != 0 {
      // What the parser has not said is none of the user's.
      let isArgument = code == ExitCode.validationFailure.rawValue
      let message = ForgeDist.message(for: error)
      result(
        nil,
        ErrorReport(code: isArgument ? .invalidArgument : .internalError, message: message, exitCode: code).document)
    }
    ForgeDist.exit(withError: error)
  }

  private static func write(_ text: String, to descriptor: Int32) {
    fflush(nil)
    let bytes = Array(text.utf8)
    _ = Foundation.write(descriptor, bytes, bytes.count)
  }
}
