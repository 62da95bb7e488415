import Foundation

/// The error of the last system call, from `errno`: `cannot write 'runs/x/metrics.jsonl': No space left on device`.
public func systemError(_ action: String, _ path: String) -> ForgeError {
  let number = errno
  let reads = action == "read" || action.hasPrefix("open")
  return ForgeError.tryAgain(
    "cannot \(action) '\(path)': \(String(cString: strerror(number)))",
    code: .system(number, else: reads ? .fileUnreadable : .writeFailed))
}

/// The system's reason of a failed file operation: `Permission denied`.
///
/// It unwraps Foundation's error, whose own description has no reason.
public func systemReason(of error: any Error) -> String {
  systemNumber(of: error).map { String(cString: strerror($0)) } ?? error.localizedDescription
}

/// The `errno` that an error of Foundation's wraps; nil where there is none.
func systemNumber(of error: any Error) -> Int32? {
  ((error as? CocoaError)?.underlying as? POSIXError)?.code.rawValue
}
