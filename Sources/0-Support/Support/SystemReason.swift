import Foundation

/// The error of the last system call, from `errno`: `cannot write 'runs/x/metrics.jsonl': No space left on device`.
public func systemError(_ action: String, _ path: String) -> ForgeError {
  ForgeError.tryAgain("cannot \(action) '\(path)': \(String(cString: strerror(errno)))")
}

/// The system's reason of a failed file operation: `Permission denied`.
///
/// It unwraps Foundation's error, whose own description has no reason.
public func systemReason(of error: any Error) -> String {
  if let system = (error as? CocoaError)?.underlying as? POSIXError {
    return String(cString: strerror(system.code.rawValue))
  }
  return error.localizedDescription
}
