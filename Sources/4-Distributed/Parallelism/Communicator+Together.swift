public import MPI
import Support

extension Communicator {
  /// Runs `body` on every rank; when it throws on any, all ranks throw the lowest one's error. Collective.
  ///
  /// For work that may fail on one rank, such as reading a file: no rank goes on to a collective that another one will
  /// never join, and all can choose the same way out.
  ///
  /// - Parameter interval: for a thread that must leave its core to others while it waits for the slowest rank: the
  ///   microseconds it sleeps between looks.
  public func together<Result>(
    lookingEvery interval: UInt32? = nil, file: StaticString = #fileID, line: UInt32 = #line,
    _ body: () throws -> Result
  ) throws -> Result {
    var outcome: Swift.Result<Result, ForgeError>
    do { outcome = .success(try body()) } catch let error as ForgeError { outcome = .failure(error) }
    var failure: ForgeError?
    if case .failure(let error) = outcome { failure = error }
    if let interval { try barrier(lookingEvery: interval, file: file, line: line) }
    let first = Int(-(try allReduce(Int64(failure == nil ? -size : -rank), .max, file: file, line: line)))
    guard first < size else { return try outcome.get() }
    let text = try broadcast(Array((failure?.description ?? "").utf8), root: first)
    let isTransient = try broadcast([failure?.kind == .tryAgain ? 1 : 0], root: first) == [1]
    let place = size > 1 && first > 0 ? "rank \(first): " : ""
    throw ForgeError(isTransient ? .tryAgain : .badInput, place + String(decoding: text, as: UTF8.self))
  }
}
