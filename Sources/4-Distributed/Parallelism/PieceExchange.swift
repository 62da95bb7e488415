import Kernels
import MPI
import Sharding

/// What the communication thread does with a piece: exchange, add, gather, by plans made beforehand.
///
/// A piece's chunks are exchanged one after the other, the next one under way while this thread waits for one and adds it
/// up; behind the last is the first of the piece that follows, so that a link carries bytes without a pause. Every rank
/// starts the same chunks in the same order, each as early as it can.
///
/// It is used by that thread alone and holds pointers into the arenas, hence `@unchecked`.
final class PieceExchange: @unchecked Sendable {
  enum Work: Sendable {
    /// Adds the other ranks' contributions to this rank's owned range of a piece.
    case reduce(piece: Int)
    /// Brings every rank's owned range of the parameters of a piece to all ranks.
    case gather(piece: Int)
  }

  /// Chunks that depend on nothing but what was there when they were submitted.
  fileprivate enum Transfer {
    case sums(piece: Int)
    case parameters(piece: Int)
    /// The complete sums, from their owners.
    case completeSums(piece: Int)
  }

  /// A share of every rank's owned range: the `advance`-th element of each and those that follow.
  private struct Chunk {
    let advance: Int
    let shares: [Int]
    let plan: ExchangePlan
    // Where the plan's offsets count from, beyond `advance`.
    let source: Int
    let destination: Int
  }

  /// A transfer that is under way: whether all ranks have come to it, and its first chunk.
  private struct Beginning: ~Copyable {
    let arrival: Request
    let chunk: Request

    consuming func abandon() {
      arrival.abandon()
      chunk.abandon()
    }
  }

  // How long to sleep between looks whether all ranks have come to a piece: short against the time a piece takes.
  private static let lookInterval: UInt32 = 100

  private let groups: [Communicator]
  private let pieces: [ExchangedPiece]
  private let gradient: Arena<Int64>
  private let parameters: Arena<Float>
  private let remainder: ExactGradientReducer.Remainder
  // What the other ranks sent of the chunks that are under way, `[chunks, ranks - 1, share]`.
  private let received: Arena<Int64>
  private let underWay: Int
  private let room: Int
  // Chunks of sums that were started, and that were added up.
  private var started = 0
  private var added = 0
  // By piece.
  private let exchanges: [[Chunk]]
  private let gathers: [[Chunk]]
  // What is under way of the work that follows.
  private var ahead: Beginning?
  private var hasFailed = false

  init(
    groups: [Communicator], pieces: [ExchangedPiece], gradient: Arena<Int64>, parameters: Arena<Float>,
    remainder: ExactGradientReducer.Remainder
  ) {
    self.groups = groups
    self.pieces = pieces
    self.gradient = gradient
    self.parameters = parameters
    self.remainder = remainder
    let ranks = groups.map(\.size).max() ?? 1
    underWay = ExchangeChunk.underWay(ranks: ranks)
    room = ExchangeChunk.buffer(ranks: ranks) / underWay
    received = Arena(count: underWay * room)  // untouched where parameters are frozen
    exchanges = pieces.map { piece in
      let (rank, share) = (groups[piece.group].rank, ExchangeChunk.share(ranks: piece.owned.count))
      return Self.chunks(of: piece, share: share) { shares, offsets in
        // To each owner its share; from each rank its contribution to mine. Mine of mine is where it belongs already.
        let others = shares.indices.map { $0 != rank }
        let plan = ExchangePlan(
          send: Layout(counts: zip(shares, others).map { $1 ? $0 : 0 }, offsets: offsets),
          receive: Layout(
            counts: others.map { $0 ? shares[rank] : 0 },
            offsets: shares.indices.map { share * ($0 < rank ? $0 : max(0, $0 - 1)) }))
        return (plan, 0, 0)
      }
    }
    // MPI_Iallgatherv would do too, but over TCP it reaches two thirds of the rate (Open MPI 4.1). Open MPI takes two equal
    // addresses for MPI_IN_PLACE, hence the different starting points.
    gathers = pieces.map { piece in
      let (rank, share) = (groups[piece.group].rank, ExchangeChunk.parameterShare(ranks: piece.owned.count))
      return Self.chunks(of: piece, share: share) { shares, offsets in
        // To each rank my share; from each owner its own.
        let others = shares.indices.map { $0 != rank }
        let isFirst = offsets[rank] == 0 && shares[rank] > 0
        let (source, destination) = isFirst ? (0, 1) : (max(1, offsets[rank]), 0)
        let plan = ExchangePlan(
          send: Layout(counts: others.map { $0 ? shares[rank] : 0 }, offsets: others.map { _ in 0 }),
          receive: Layout(
            counts: zip(shares, others).map { $1 ? $0 : 0 }, offsets: offsets.map { max(0, $0 - destination) }))
        return (plan, source, destination)
      }
    }
  }

  deinit {
    ahead.take()?.abandon()
    // After an error MPI may still be writing there.
    if hasFailed { _ = Unmanaged.passRetained(received) }
  }

  /// Cuts the owned ranges of a piece into shares, and plans the exchange of each rank's first share, then second, and
  /// so on. Chunks that differ in nothing but `advance` use one plan.
  private static func chunks(
    of piece: ExchangedPiece, share: Int,
    plan: (_ shares: [Int], _ offsets: [Int]) -> (ExchangePlan, source: Int, destination: Int)
  ) -> [Chunk] {
    precondition(piece.range.count <= Int(Int32.max), "a piece has at most 2,147,483,647 elements")
    let owned = piece.owned
    let offsets = owned.map { $0.isEmpty ? 0 : $0.lowerBound - piece.range.lowerBound }
    var chunks: [Chunk] = []
    for advance in stride(from: 0, to: owned.map(\.count).max() ?? 0, by: share) {
      let shares = owned.map { min(share, max(0, $0.count - advance)) }
      if let last = chunks.last, last.shares == shares {
        chunks.append(
          Chunk(advance: advance, shares: shares, plan: last.plan, source: last.source, destination: last.destination))
      } else {
        let (plan, source, destination) = plan(shares, offsets)
        chunks.append(Chunk(advance: advance, shares: shares, plan: plan, source: source, destination: destination))
      }
    }
    return chunks
  }

  // MARK: Work

  /// - Parameter following: the work that this will be called for next, as far as it is known by then.
  func perform(_ work: Work, following: () -> Work?) throws {
    let next = { following().map(Self.first) }
    do {
      switch work {
      case .gather(let piece): try run(.parameters(piece: piece), following: next)
      case .reduce(let piece) where remainder == .gather:
        try run(.sums(piece: piece)) { nil }
        try run(.completeSums(piece: piece), following: next)
      case .reduce(let piece):
        try run(.sums(piece: piece), following: next)
        if remainder == .discard { discardRemainder(piece) }
      }
    } catch {
      hasFailed = true
      ahead.take()?.abandon()
      throw error
    }
  }

  private static func first(_ work: Work) -> Transfer {
    switch work {
    case .gather(let piece): .parameters(piece: piece)
    case .reduce(let piece): .sums(piece: piece)
    }
  }

  private func run(_ transfer: Transfer, following: () -> Transfer?) throws {
    let count = chunks(transfer).count
    guard count > 0 else { return }
    let beginning = try ahead.take() ?? begin(transfer)
    var next: Request? = beginning.chunk
    do {
      // Ranks come here at different times. Waiting without a pause would take a core from the computation.
      try beginning.arrival.wait(lookingEvery: Self.lookInterval, isPatient: true)
      for number in 0..<count {
        let current = try next.take() ?? start(transfer, number)
        do {
          if underWay > 1 {
            if number + 1 < count { next = try start(transfer, number + 1) } else { try beginAhead(following()) }
          }
        } catch {
          current.abandon()
          throw error
        }
        try current.wait(lookingEvery: Self.lookInterval)
        finish(transfer, number)
      }
    } catch {
      next.take()?.abandon()
      throw error
    }
  }

  private func beginAhead(_ transfer: Transfer?) throws {
    if let transfer, !chunks(transfer).isEmpty { ahead = try begin(transfer) }
  }

  private func begin(_ transfer: Transfer) throws -> Beginning {
    let arrival = try groups[pieces[transfer.piece].group].startBarrier()
    let chunk: Request
    do {
      chunk = try start(transfer, 0)
    } catch {
      arrival.abandon()
      throw error
    }
    return Beginning(arrival: arrival, chunk: chunk)
  }

  // MARK: Chunks

  private func chunks(_ transfer: Transfer) -> [Chunk] {
    switch transfer {
    case .sums(let piece): exchanges[piece]
    case .parameters(let piece), .completeSums(let piece): gathers[piece]
    }
  }

  private func start(_ transfer: Transfer, _ number: Int) throws -> Request {
    let (piece, chunk) = (pieces[transfer.piece], chunks(transfer)[number])
    let group = groups[piece.group]
    let range = piece.range.dropFirst(chunk.advance)
    func gather<E: CollectiveElement>(_ values: UnsafeMutableBufferPointer<E>) throws -> Request {
      try group.startAllToAll(
        arena: UnsafeBufferPointer(rebasing: values[range.dropFirst(chunk.source)]),
        into: .init(rebasing: values[range.dropFirst(chunk.destination)]), plan: chunk.plan)
    }
    switch transfer {
    case .parameters: return try gather(parameters.buffer.pointer)
    case .completeSums: return try gather(gradient.buffer.pointer)
    case .sums:
      let place = started % underWay * room
      started += 1
      return try group.startAllToAll(
        arena: UnsafeBufferPointer(rebasing: gradient.buffer.pointer[range]),
        into: received.buffer[place..<place + room].pointer, plan: chunk.plan)
    }
  }

  /// Adds what a chunk of sums has brought.
  private func finish(_ transfer: Transfer, _ number: Int) {
    guard case .sums(let index) = transfer else { return }
    let (piece, chunk) = (pieces[index], exchanges[index][number])
    let group = groups[piece.group]
    let place = added % underWay * room
    added += 1
    let count = chunk.shares[group.rank]
    let first = piece.owned[group.rank].lowerBound + chunk.advance
    guard count > 0, let sum = gradient.buffer.pointer.baseAddress?.advanced(by: first) else { return }
    let share = ExchangeChunk.share(ranks: group.size)
    for rank in 0..<group.size - 1 {
      let addend = received.buffer[place + rank * share..<place + rank * share + count]
      for index in 0..<count { sum[index] &+= addend[index] }
    }
  }

  private func discardRemainder(_ index: Int) {
    let piece = pieces[index]
    let mine = piece.owned[groups[piece.group].rank].clamped(to: piece.range)
    gradient.discard(piece.range.lowerBound..<mine.lowerBound)
    gradient.discard(mine.upperBound..<piece.range.upperBound)
  }
}

extension PieceExchange.Transfer {
  fileprivate var piece: Int {
    switch self {
    case .sums(let piece), .parameters(let piece), .completeSums(let piece): piece
    }
  }
}
