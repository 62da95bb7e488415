import Support

/// A request: one command of `forge`, with its arguments as properties.
///
/// Requests are independent of command lines and terminals, so that a server or an agent can make them too.
public protocol Command {
  associatedtype Result: CommandResult

  /// Runs the request.
  ///
  /// - Parameter sinks: receive the output of the running command.
  /// - Throws: `ForgeError`.
  func run(_ sinks: CommandSinks) throws -> Result
}

extension Command {
  /// Runs the request without output sinks: only the result is returned.
  public func run() throws -> Result { try run(CommandSinks()) }
}

/// Output sinks: closures that receive the output of a running command.
public struct CommandSinks {
  /// Receives the result's text in parts, if the result is streamed.
  public var stream: (_ bytes: [UInt8]) throws -> Void
  /// Receives notes and warnings, a sentence each, that are not part of the result.
  public var note: (_ sentence: String) -> Void

  public init(
    stream: @escaping (_ bytes: [UInt8]) throws -> Void = { _ in },
    note: @escaping (_ sentence: String) -> Void = { _ in }
  ) {
    self.stream = stream
    self.note = note
  }

  func stream(_ text: String) throws { try stream(Array(text.utf8)) }
}

/// The result of a command.
public protocol CommandResult {
  /// The result as text for people.
  var text: String { get }
  /// The result as a JSON value for programs.
  var json: JSONLine { get }
  /// The JSON document that `--json` prints.
  var document: String { get }
  /// The exit code of the process.
  var exitCode: Int32 { get }
  /// The error that the command found in its input; printed after the text, and as the document's member `error`.
  var failure: ForgeError? { get }
  /// Whether the command writes all of the text to the stream sink while it runs.
  static var isStreamed: Bool { get }
}

extension CommandResult {
  public var document: String {
    guard let failure, case .object(let members) = json else { return json.text + "\n" }
    return JSONLine.object(members + [("error", ErrorReport(failure).json)]).text + "\n"
  }
  public var exitCode: Int32 { failure?.exitCode ?? 0 }
  public var failure: ForgeError? { nil }
  public static var isStreamed: Bool { false }
}
