import Foundation

/// `cannot write 'runs/x/metrics.jsonl': No space left on device`, from the last system call's `errno`.
public func systemError(_ action: String, _ path: String) -> ForgeError {
  ForgeError.tryAgain("cannot \(action) '\(path)': \(String(cString: strerror(errno)))")
}

/// Why a file operation failed, in the system's own few words: `Permission denied`.
///
/// Foundation wraps the system's error into one that says only that the operation could not be completed.
public func systemReason(of error: any Error) -> String {
  if let system = (error as? CocoaError)?.underlying as? POSIXError {
    return String(cString: strerror(system.code.rawValue))
  }
  return error.localizedDescription
}
