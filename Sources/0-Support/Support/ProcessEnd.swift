import Foundation

/// Ends the process with a sentence on standard error, and the error's exit code: for what the system refuses where there
/// is nobody to throw to, as memory in an initialiser that cannot fail.
///
/// A launcher ends the other ranks of a job when one of them ends so.
public func endProcess(_ error: ForgeError) -> Never {
  let program = (CommandLine.arguments.first ?? "forge").split(separator: "/").last ?? "forge"
  let line = Array("\(program): \(error)\n".utf8)
  fflush(nil)
  _ = write(STDERR_FILENO, line, line.count)
  // Without the handlers of libraries, which may wait for threads that cannot be.
  _exit(error.exitCode)
}
