import Support

/// A request: what one command of `forge` does, its arguments as fields.
///
/// Requests know nothing of a command line or a terminal, so that a server or an agent can make them too.
public protocol Command {
  associatedtype Result: CommandResult

  /// - Parameter sinks: for what comes out while it runs.
  /// - Throws: `ForgeError`.
  func run(_ sinks: CommandSinks) throws -> Result
}

extension Command {
  /// Runs it; nothing of it is seen before the result.
  public func run() throws -> Result { try run(CommandSinks()) }
}

/// Where that goes which comes out of a command while it runs.
public struct CommandSinks {
  /// Takes the result's text bit by bit, where the result is streamed.
  public var stream: (_ bytes: [UInt8]) throws -> Void
  /// Takes a sentence for people that is no part of the result.
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

/// What came of a command.
public protocol CommandResult {
  /// What people read.
  var text: String { get }
  /// The same for programs.
  var json: JSONLine { get }
  /// The document that `--json` prints.
  var document: String { get }
  /// Of the process.
  var exitCode: Int32 { get }
  /// What is wrong with what was looked at: told after the text, and a member `error` of the document.
  var failure: ForgeError? { get }
  /// Whether all of the text has gone into the stream while the command ran.
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
