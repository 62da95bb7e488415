/// An error that a user or a machine can cause, described in one sentence: what happened, where, and what to do.
///
/// Programs read its fields: ``code``, ``keyPath``, ``hint`` and ``exitCode``. A bug in this code is a `precondition` instead and
/// never becomes a `ForgeError`.
public struct ForgeError: Error, Sendable, CustomStringConvertible {
  /// What the caller can do about the failure; decides the exit code.
  public enum Kind: String, Sendable {
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
  /// The failure's name for programs; it stays the same when the sentence is worded anew.
  public let code: Code
  /// The whole sentence, with the hint at its end.
  public let description: String
  /// The dotted key of the setting at fault, such as `model.hidden_size`; nil where it is none.
  public let keyPath: String?
  /// What to do, the part of the sentence that says so; nil where it says nothing.
  public let hint: String?

  /// A failure whose sentence is `problem`, and the hint after it.
  ///
  /// - Parameters:
  ///   - problem: what happened, and where.
  ///   - hint: what to do.
  ///   - joint: what stands between the two.
  ///   - keyPath: the dotted key of the setting at fault.
  public init(
    _ kind: Kind, _ problem: String, hint: String? = nil, after joint: String = "; ", code: Code, keyPath: String? = nil
  ) {
    self.init(
      kind, sentence: hint.map { problem + joint + $0 } ?? problem, hint: hint, code: code, keyPath: keyPath)
  }

  /// A failure whose sentence is known as a whole, as another rank has told it.
  ///
  /// - Parameter hint: a part of the sentence.
  public init(_ kind: Kind, sentence: String, hint: String?, code: Code, keyPath: String?) {
    self.kind = kind
    self.code = code
    description = Self.oneLine(sentence)
    self.keyPath = keyPath.map(Self.oneLine)
    self.hint = hint.map(Self.oneLine)
  }

  /// Keeps a message that quotes a file on one line: control characters become U+FFFD.
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

  /// An error that is none of ours where it should be one.
  public static func bug(_ error: any Error) -> ForgeError {
    error as? ForgeError ?? ForgeError(.bug, "\(error)", code: .internalError)
  }

  /// The same failure, told with what it means here.
  ///
  /// - Parameters:
  ///   - kind: nil leaves it.
  ///   - prefix: stands before the sentence.
  ///   - suffix: stands after it.
  public func told(
    as kind: Kind? = nil, _ prefix: String, _ suffix: String = "", keyPath: String? = nil
  ) -> ForgeError {
    ForgeError(
      kind ?? self.kind, sentence: prefix + description + suffix, hint: hint, code: code,
      keyPath: keyPath ?? self.keyPath)
  }

  /// The process's exit code.
  public var exitCode: Int32 { kind.exitCode }
}
