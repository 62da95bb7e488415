import Kernels
import MPI
import Placement

/// What the communication thread does with a piece: exchange, add, gather, by plans made beforehand.
///
/// It is used by that thread alone and holds pointers into the arenas, hence `@unchecked`.
final class PieceExchange: @unchecked Sendable {
  /// One chunk of every rank's owned range: the `advance`-th element of each and those that follow.
  private struct Chunk {
    let advance: Int
    let exchange: ExchangePlan
    let gather: Layout
  }

  // How long to sleep between looks whether all ranks have come to a piece: short against the time a piece takes.
  private static let lookInterval: UInt32 = 100

  private let groups: [Communicator]
  private let pieces: [ExchangedPiece]
  private let gradient: Arena<Int64>
  private let parameters: Arena<Float>
  private let remainder: ExactGradientReducer.Remainder
  // What the other ranks sent of a chunk, `[ranks, share]`.
  private let received: UnsafeMutableBufferPointer<Int64>
  private let chunks: [[Chunk]]

  init(
    groups: [Communicator], pieces: [ExchangedPiece], gradient: Arena<Int64>, parameters: Arena<Float>,
    remainder: ExactGradientReducer.Remainder
  ) {
    self.groups = groups
    self.pieces = pieces
    self.gradient = gradient
    self.parameters = parameters
    self.remainder = remainder
    received = .allocate(capacity: groups.map { $0.size * ExchangeChunk.share(ranks: $0.size) }.max() ?? 0)
    received.initialize(repeating: 0)
    chunks = pieces.map { piece in
      let group = groups[piece.group]
      return Self.chunks(of: piece, rank: group.rank, share: ExchangeChunk.share(ranks: group.size))
    }
  }

  deinit { received.deallocate() }

  /// Cuts the owned ranges of a piece into shares, and plans the exchange of each rank's first share, then second, and
  /// so on. Chunks that differ in nothing but `advance` use one plan.
  private static func chunks(of piece: ExchangedPiece, rank: Int, share: Int) -> [Chunk] {
    precondition(piece.range.count <= Int(Int32.max), "a piece has at most 2,147,483,647 elements")
    let owned = piece.owned
    let longest = owned.map(\.count).max() ?? 0
    let offsets = owned.map { $0.isEmpty ? 0 : $0.lowerBound - piece.range.lowerBound }
    var chunks: [Chunk] = []
    for advance in stride(from: 0, to: longest, by: share) {
      let shares = owned.map { min(share, max(0, $0.count - advance)) }
      if let last = chunks.last, last.gather.counts == shares {
        chunks.append(Chunk(advance: advance, exchange: last.exchange, gather: last.gather))
        continue
      }
      // To each owner its share; from each rank its contribution to mine. Mine of mine is where it belongs already.
      var send = shares
      var receive = owned.indices.map { _ in shares[rank] }
      send[rank] = 0
      receive[rank] = 0
      let exchange = ExchangePlan(
        send: Layout(counts: send, offsets: offsets),
        receive: Layout(counts: receive, offsets: owned.indices.map { $0 * share }))
      chunks.append(
        Chunk(advance: advance, exchange: exchange, gather: Layout(counts: shares, offsets: offsets)))
    }
    return chunks
  }

  /// Adds the other ranks' contributions to this rank's owned range of `piece`.
  func reduce(_ index: Int) throws {
    let piece = pieces[index]
    let group = groups[piece.group]
    // Ranks come here at different times. Waiting in the exchange itself would take a core from the computation.
    try group.barrier(lookingEvery: Self.lookInterval)
    let mine = piece.owned[group.rank]
    let values = gradient.buffer.pointer
    for chunk in chunks[index] {
      let source = UnsafeBufferPointer(rebasing: values[piece.range.dropFirst(chunk.advance)])
      try group.startAllToAll(arena: source, into: received, plan: chunk.exchange).wait(
        lookingEvery: Self.lookInterval)
      let count = chunk.gather.counts[group.rank]
      guard count > 0, let sum = values.baseAddress?.advanced(by: mine.lowerBound + chunk.advance) else { continue }
      for rank in 0..<group.size where rank != group.rank {
        add(rank * ExchangeChunk.share(ranks: group.size), count, to: sum)
      }
    }
    switch remainder {
    case .keep: break
    case .discard:
      gradient.discard(piece.range.lowerBound..<mine.clamped(to: piece.range).lowerBound)
      gradient.discard(mine.clamped(to: piece.range).upperBound..<piece.range.upperBound)
    case .gather: try gather(index, values)
    }
  }

  private func add(_ offset: Int, _ count: Int, to sum: UnsafeMutablePointer<Int64>) {
    guard let addend = received.baseAddress?.advanced(by: offset) else { return }
    for index in 0..<count { sum[index] &+= addend[index] }
  }

  /// Brings every rank's owned range of the parameters of `piece` to all ranks.
  func gather(_ index: Int) throws {
    try groups[pieces[index].group].barrier(lookingEvery: Self.lookInterval)
    try gather(index, parameters.buffer.pointer)
  }

  private func gather<E: CollectiveElement>(_ index: Int, _ values: UnsafeMutableBufferPointer<E>) throws {
    let piece = pieces[index]
    for chunk in chunks[index] {
      let range = piece.range.dropFirst(chunk.advance)
      try groups[piece.group].startAllGather(arena: .init(rebasing: values[range]), layout: chunk.gather).wait(
        lookingEvery: Self.lookInterval)
    }
  }
}
