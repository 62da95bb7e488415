/// An error that a user or a machine can cause, described in one sentence: what happened, where, and what to do.
///
/// A bug in this code is usually a `precondition` failure instead.
public struct ForgeError: Error, Sendable, CustomStringConvertible {
  /// The kind of error, which sets the exit code.
  public enum Kind: Sendable {
    /// The user's input is wrong; the same command will fail again (exit code 64, `EX_USAGE`).
    case badInput
    /// A machine or a peer failed; the same command may succeed later (exit code 75, `EX_TEMPFAIL`).
    case tryAgain
    /// An internal inconsistency (exit code 70, `EX_SOFTWARE`).
    case bug

    /// The exit code, from `sysexits.h`.
    public var exitCode: Int32 {
      switch self {
      case .badInput: 64
      case .bug: 70
      case .tryAgain: 75
      }
    }
  }

  public let kind: Kind
  public let description: String

  public init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = Self.oneLine(description)
  }

  /// Keeps a message that quotes a file on one line: control characters become U+FFFD.
  private static func oneLine(_ text: String) -> String {
    func isControl(_ scalar: Unicode.Scalar) -> Bool { scalar.value < 0x20 || scalar.value == 0x7F }
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    return String(String.UnicodeScalarView(text.unicodeScalars.map { isControl($0) ? "\u{FFFD}" : $0 }))
  }

  public static func badInput(_ description: String) -> ForgeError { ForgeError(.badInput, description) }
  public static func tryAgain(_ description: String) -> ForgeError { ForgeError(.tryAgain, description) }

  /// The process's exit code.
  public var exitCode: Int32 { kind.exitCode }
}
