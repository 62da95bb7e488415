public import MPI
import Support

extension Communicator {
  /// Collective error propagation: runs `body` on every rank; when it throws a `ForgeError` on any, all ranks throw the
  /// lowest one's. Collective.
  ///
  /// For work that may fail on one rank, such as reading a file: no rank continues to a collective that another one
  /// will never join, and all handle the error alike.
  ///
  /// - Parameter interval: polling interval in microseconds, for a thread that must leave its core to others while it
  ///   waits for the slowest rank; nil to wait without sleeping.
  public func together<Result>(
    pollingEvery interval: UInt32? = nil, file: StaticString = #fileID, line: UInt32 = #line,
    _ body: () throws -> Result
  ) throws -> Result {
    var outcome: Swift.Result<Result, ForgeError>
    do { outcome = .success(try body()) } catch let error as ForgeError { outcome = .failure(error) }
    var failure: ForgeError?
    if case .failure(let error) = outcome { failure = error }
    if let interval { try barrier(pollingEvery: interval, file: file, line: line) }
    let first = Int(-(try allReduce(Int64(failure == nil ? -size : -rank), .max, file: file, line: line)))
    guard first < size else { return try outcome.get() }
    let told = try broadcast(failure.map(Self.fields) ?? [], root: first)
    let place = size > 1 && first > 0 ? "rank \(first): " : ""
    throw Self.error(fields: told).reworded(place)
  }

  /// An error's fields, which have no control characters, between such.
  private static func fields(of error: ForgeError) -> [UInt8] {
    let fields = [error.kind.rawValue, error.code.rawValue, error.description, error.keyPath ?? "", error.hint ?? ""]
    return Array(fields.joined(separator: "\n").utf8)
  }

  private static func error(fields text: [UInt8]) -> ForgeError {
    let fields = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      .map { String(decoding: $0, as: UTF8.self) }
    guard fields.count == 5, let kind = ForgeError.Kind(rawValue: fields[0]),
      let code = ForgeError.Code(rawValue: fields[1])
    else { preconditionFailure("a rank sent an error that none has made") }
    return ForgeError(
      kind, sentence: fields[2], hint: fields[4].isEmpty ? nil : fields[4], code: code,
      keyPath: fields[3].isEmpty ? nil : fields[3])
  }
}
