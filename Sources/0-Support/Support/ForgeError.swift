/// An error that a user or a machine can cause, with a message of one sentence: what happened, where, and what to do.
///
/// Programs read its fields: ``code``, ``keyPath``, ``hint`` and ``exitCode``. A violated invariant of this code is a
/// `precondition` failure instead; an unexpected error of another type becomes the kind ``Kind/bug``.
public struct ForgeError: Error, Sendable, CustomStringConvertible {
  /// The error class: whether a retry can succeed. It determines the exit code.
  public enum Kind: String, Sendable {
    /// Invalid input; the same command will fail again (exit code 64, `EX_USAGE`).
    case badInput
    /// A failed machine or peer; the same command may succeed later (exit code 75, `EX_TEMPFAIL`).
    case tryAgain
    /// An internal error (exit code 70, `EX_SOFTWARE`).
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
  /// The error code: a stable name for programs, independent of the wording of the message.
  public let code: Code
  /// The message, including the hint.
  public let description: String
  /// The key path of the setting at fault, such as `model.hidden_size`; nil if the error is not about a setting.
  public let keyPath: String?
  /// The hint: the part of the message that recommends what to do; nil without one.
  public let hint: String?

  /// An error with the message `problem`, followed by the hint.
  ///
  /// - Parameters:
  ///   - problem: what happened, and where.
  ///   - hint: what to do.
  ///   - joint: the separator between the two.
  ///   - keyPath: the key path of the setting at fault.
  public init(
    _ kind: Kind, _ problem: String, hint: String? = nil, after joint: String = "; ", code: Code, keyPath: String? = nil
  ) {
    self.init(
      kind, sentence: hint.map { problem + joint + $0 } ?? problem, hint: hint, code: code, keyPath: keyPath)
  }

  /// An error with a complete message, such as one received from another rank.
  ///
  /// - Parameter hint: the part of the message that is the hint.
  public init(_ kind: Kind, sentence: String, hint: String?, code: Code, keyPath: String?) {
    self.kind = kind
    self.code = code
    description = Self.oneLine(sentence)
    self.keyPath = keyPath.map(Self.oneLine)
    self.hint = hint.map(Self.oneLine)
  }

  /// Keeps a message on one line, even if it quotes a file: control characters become U+FFFD.
  private static func oneLine(_ text: String) -> String {
    func isControl(_ scalar: Unicode.Scalar) -> Bool { scalar.value < 0x20 || scalar.value == 0x7F }
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    return String(String.UnicodeScalarView(text.unicodeScalars.map { isControl($0) ? "\u{FFFD}" : $0 }))
  }

  public static func badInput(
    _ problem: String, hint: String? = nil, after joint: String = "; ", code: Code, keyPath: String? = nil
  ) -> ForgeError {
    ForgeError(.badInput, problem, hint: hint, after: joint, code: code, keyPath: keyPath)
  }

  public static func tryAgain(
    _ problem: String, hint: String? = nil, after joint: String = "; ", code: Code, keyPath: String? = nil
  ) -> ForgeError {
    ForgeError(.tryAgain, problem, hint: hint, after: joint, code: code, keyPath: keyPath)
  }

  /// Converts any error to a `ForgeError`: one of another type becomes an internal error.
  public static func bug(_ error: any Error) -> ForgeError {
    error as? ForgeError ?? ForgeError(.bug, "\(error)", code: .internalError)
  }

  /// The same error with context added to its message.
  ///
  /// - Parameters:
  ///   - kind: replaces the kind; nil keeps it.
  ///   - prefix: prepended to the message.
  ///   - suffix: appended to the message.
  ///   - keyPath: replaces the key path; nil keeps it.
  public func reworded(
    as kind: Kind? = nil, _ prefix: String, _ suffix: String = "", keyPath: String? = nil
  ) -> ForgeError {
    ForgeError(
      kind ?? self.kind, sentence: prefix + description + suffix, hint: hint, code: code,
      keyPath: keyPath ?? self.keyPath)
  }

  /// The process's exit code.
  public var exitCode: Int32 { kind.exitCode }
}
