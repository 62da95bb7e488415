import MPI

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

  private let communicator: Communicator
  private let sharding: ArenaSharding
  private let gradient: UnsafeMutableBufferPointer<Int64>
  private let parameters: UnsafeMutableBufferPointer<Float>
  // What the other ranks sent of a chunk, `[ranks, shareSize]`.
  private let received: UnsafeMutableBufferPointer<Int64>
  private let shareSize: Int
  private let chunks: [[Chunk]]

  init(
    communicator: Communicator, sharding: ArenaSharding, gradient: UnsafeMutableBufferPointer<Int64>,
    parameters: UnsafeMutableBufferPointer<Float>
  ) {
    let (rank, size) = (communicator.rank, communicator.size)
    let shareSize = max(1, ExactGradientReducer.chunkSize / size)
    self.communicator = communicator
    self.sharding = sharding
    self.gradient = gradient
    self.parameters = parameters
    self.shareSize = shareSize
    received = .allocate(capacity: size * shareSize)
    received.initialize(repeating: 0)
    chunks = zip(sharding.pieces, sharding.owned).map { piece, owned in
      Self.chunks(of: owned, piece: piece, rank: rank, shareSize: shareSize)
    }
  }

  deinit { received.deallocate() }

  /// Cuts the owned ranges of a piece into shares of `shareSize`, and plans the exchange of each rank's first share,
  /// then second, and so on. Chunks that differ in nothing but `advance` use one plan.
  private static func chunks(of owned: [Range<Int>], piece: Range<Int>, rank: Int, shareSize: Int) -> [Chunk] {
    precondition(piece.count <= Int(Int32.max), "a piece has at most 2,147,483,647 elements")
    let longest = owned.map(\.count).max() ?? 0
    let offsets = owned.map { $0.lowerBound - piece.lowerBound }
    var chunks: [Chunk] = []
    for advance in stride(from: 0, to: longest, by: shareSize) {
      let shares = owned.map { min(shareSize, max(0, $0.count - advance)) }
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
        receive: Layout(counts: receive, offsets: owned.indices.map { $0 * shareSize }))
      chunks.append(Chunk(advance: advance, exchange: exchange, gather: Layout(counts: shares, offsets: offsets)))
    }
    return chunks
  }

  /// Adds the other ranks' contributions to this rank's owned range of `piece`.
  func reduce(_ piece: Int) throws {
    // Ranks come here at different times. Waiting in the exchange itself would take a core from the computation.
    try communicator.barrier(lookingEvery: Self.lookInterval)
    let range = sharding.pieces[piece]
    let mine = sharding.owned[piece][communicator.rank]
    for chunk in chunks[piece] {
      let source = UnsafeBufferPointer(rebasing: gradient[range.dropFirst(chunk.advance)])
      try communicator.allToAll(arena: source, into: received, plan: chunk.exchange)
      let count = chunk.gather.counts[communicator.rank]
      guard count > 0, let sum = gradient.baseAddress?.advanced(by: mine.lowerBound + chunk.advance) else { continue }
      for rank in 0..<communicator.size where rank != communicator.rank {
        add(rank, count, to: sum)
      }
    }
  }

  private func add(_ rank: Int, _ count: Int, to sum: UnsafeMutablePointer<Int64>) {
    guard let addend = received.baseAddress?.advanced(by: rank * shareSize) else { return }
    for index in 0..<count { sum[index] &+= addend[index] }
  }

  /// Brings every rank's owned range of the parameters of `piece` to all ranks.
  func gather(_ piece: Int) throws {
    try communicator.barrier(lookingEvery: Self.lookInterval)
    for chunk in chunks[piece] {
      let range = sharding.pieces[piece].dropFirst(chunk.advance)
      try communicator.allGather(arena: .init(rebasing: parameters[range]), layout: chunk.gather)
    }
  }
}
