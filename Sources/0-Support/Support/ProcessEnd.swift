import Foundation

/// Ends the process with the error's sentence on standard error and its exit code, where code cannot throw, such as for
/// memory in an initialiser.
///
/// The launcher then ends the other ranks of the job.
public func endProcess(_ error: ForgeError) -> Never {
  let program = (CommandLine.arguments.first ?? "forge").split(separator: "/").last ?? "forge"
  let line = Array("\(program): \(error)\n".utf8)
  fflush(nil)
  _ = write(STDERR_FILENO, line, line.count)
  if ErrorReport.goesToStandardOutput {
    let document = Array((ErrorReport(error).document.text + "\n").utf8)
    _ = write(STDOUT_FILENO, document, document.count)
  }
  // Skips libraries' exit handlers, which may wait for threads that cannot start.
  _exit(error.exitCode)
}
