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
    let text = try broadcast(Array((failure?.description ?? "").utf8), root: first)
    let isTransient = try broadcast([failure?.kind == .tryAgain ? 1 : 0], root: first) == [1]
    let place = size > 1 && first > 0 ? "rank \(first): " : ""
    throw ForgeError(isTransient ? .tryAgain : .badInput, place + String(decoding: text, as: UTF8.self))
  }
}
