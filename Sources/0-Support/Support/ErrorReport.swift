import Synchronization

/// An error as a JSON document, which `--json` prints on one line in place of a result.
public struct ErrorReport: Sendable {
  public let code: ForgeError.Code
  /// The message, as on standard error after the program's name.
  public let message: String
  public let keyPath: String?
  public let hint: String?
  public let exitCode: Int32

  public init(_ error: ForgeError) {
    self.init(
      code: error.code, message: error.description, keyPath: error.keyPath, hint: error.hint, exitCode: error.exitCode)
  }

  public init(
    code: ForgeError.Code, message: String, keyPath: String? = nil, hint: String? = nil, exitCode: Int32
  ) {
    (self.code, self.message, self.keyPath, self.hint, self.exitCode) = (code, message, keyPath, hint, exitCode)
  }

  /// An error of the parser of arguments, which has the exit code of bad input; with any other it is a bug.
  public init(parserMessage message: String, exitCode: Int32) {
    let isArgument = exitCode == ForgeError.Kind.badInput.exitCode
    self.init(code: isArgument ? .invalidArgument : .internalError, message: message, exitCode: exitCode)
  }

  private static let toStandardOutput = Atomic(false)

  /// Whether `--json` is on in this process, so that ``endProcess(_:)`` prints a JSON document too.
  public static var goesToStandardOutput: Bool {
    get { toStandardOutput.load(ordering: .relaxed) }
    set { toStandardOutput.store(newValue, ordering: .relaxed) }
  }

  /// Whether the arguments contain `--json`, before a `--` that ends the options.
  public static func isRequested(by arguments: some Sequence<String>) -> Bool {
    arguments.prefix { $0 != "--" }.contains("--json")
  }

  /// The error as a JSON object; also the member `error` of a result with a failure.
  public var json: JSONLine {
    .object([
      ("code", .string(code.rawValue)), ("message", .string(message)),
      ("key_path", .optional(keyPath)), ("hint", .optional(hint)), ("exit_code", .integer(Int(exitCode))),
    ])
  }

  /// The JSON document: `{"error": {"code": …, "message": …, "key_path": …, "hint": …, "exit_code": …}}`
  public var document: JSONLine { .object([("error", json)]) }
}
