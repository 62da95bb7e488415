import Kernels
import MPI
import Sharding

/// Runs the reductions and gathers of FSDP units on the communication thread, as pipelined chunks with plans made once.
///
/// A unit's chunks are exchanged in order; while this thread waits for one and adds it, the next is in flight, and
/// behind the last one the first of the following unit, so that the link stays busy. Every rank starts the same chunks
/// in the same order, as early as it can.
///
/// Only that thread uses it, and it holds pointers into the arenas, hence `@unchecked`.
final class CollectiveScheduler: @unchecked Sendable {
  enum Work: Sendable {
    /// Reduces a unit's gradient: adds the other ranks' contributions to this rank's shard.
    case reduce(unit: Int)
    /// Gathers a unit's parameters: every rank's shard on all ranks.
    case gather(unit: Int)
  }

  /// A part of work whose chunks do not depend on each other.
  fileprivate enum Transfer {
    case sums(unit: Int)
    case parameters(unit: Int)
    /// The reduced sums, from their owners.
    case completeSums(unit: Int)
  }

  /// A share of every rank's shard, from element `advance` of each on.
  private struct Chunk {
    let advance: Int
    let shares: [Int]
    let plan: ExchangePlan
    // The origins of the plan's offsets, beyond `advance`.
    let source: Int
    let destination: Int
  }

  /// A started transfer: the barrier of all ranks' arrival, and its first chunk.
  private struct Beginning: ~Copyable {
    let arrival: Request
    let chunk: Request

    consuming func abandon() {
      arrival.abandon()
      chunk.abandon()
    }
  }

  // Polling interval in microseconds, short against the time of a unit.
  private static let pollInterval: UInt32 = 100

  private let groups: [Communicator]
  private let units: [ExchangedUnit]
  private let gradient: Arena<Int64>
  private let parameters: Arena<Float>
  private let remainder: ExactGradientReducer.Remainder
  // Receive buffers of the chunks in flight, `[chunks, ranks - 1, share]`.
  private let received: Arena<Int64>
  private let underWay: Int
  private let room: Int
  // Numbers of chunks of sums started, and added.
  private var started = 0
  private var added = 0
  // By unit.
  private let exchanges: [[Chunk]]
  private let gathers: [[Chunk]]
  // The started transfer of the following work.
  private var ahead: Beginning?
  private var hasFailed = false

  init(
    groups: [Communicator], units: [ExchangedUnit], gradient: Arena<Int64>, parameters: Arena<Float>,
    remainder: ExactGradientReducer.Remainder
  ) {
    self.groups = groups
    self.units = units
    self.gradient = gradient
    self.parameters = parameters
    self.remainder = remainder
    let ranks = groups.map(\.size).max() ?? 1
    underWay = ExchangeChunk.underWay(ranks: ranks)
    room = ExchangeChunk.buffer(ranks: ranks) / underWay
    received = Arena(count: underWay * room)  // untouched where parameters are frozen
    exchanges = units.map { unit in
      let (rank, share) = (groups[unit.group].rank, ExchangeChunk.share(ranks: unit.shards.count))
      return Self.chunks(of: unit, share: share) { shares, offsets in
        // Sends each owner its share; receives each rank's contribution to this rank's, whose own is in place already.
        let others = shares.indices.map { $0 != rank }
        let plan = ExchangePlan(
          send: RankCounts(counts: zip(shares, others).map { $1 ? $0 : 0 }, offsets: offsets),
          receive: RankCounts(
            counts: others.map { $0 ? shares[rank] : 0 },
            offsets: shares.indices.map { share * ($0 < rank ? $0 : max(0, $0 - 1)) }))
        return (plan, 0, 0)
      }
    }
    // Not MPI_Iallgatherv: over TCP it reaches two thirds of the rate (Open MPI 4.1). Open MPI takes two equal
    // addresses for MPI_IN_PLACE, hence the different starting points.
    gathers = units.map { unit in
      let (rank, share) = (groups[unit.group].rank, ExchangeChunk.parameterShare(ranks: unit.shards.count))
      return Self.chunks(of: unit, share: share) { shares, offsets in
        // Sends this rank's share to every rank; receives each owner's.
        let others = shares.indices.map { $0 != rank }
        let isFirst = offsets[rank] == 0 && shares[rank] > 0
        let (source, destination) = isFirst ? (0, 1) : (max(1, offsets[rank]), 0)
        let plan = ExchangePlan(
          send: RankCounts(counts: others.map { $0 ? shares[rank] : 0 }, offsets: others.map { _ in 0 }),
          receive: RankCounts(
            counts: zip(shares, others).map { $1 ? $0 : 0 }, offsets: offsets.map { max(0, $0 - destination) }))
        return (plan, source, destination)
      }
    }
  }

  deinit {
    ahead.take()?.abandon()
    // After an error MPI may still write there.
    if hasFailed { _ = Unmanaged.passRetained(received) }
  }

  /// Splits the shards of a unit into shares and plans the chunks: each rank's first share, then the second, and so on.
  /// Chunks that differ only in `advance` use one plan.
  private static func chunks(
    of unit: ExchangedUnit, share: Int,
    plan: (_ shares: [Int], _ offsets: [Int]) -> (ExchangePlan, source: Int, destination: Int)
  ) -> [Chunk] {
    precondition(unit.range.count <= Int(Int32.max), "a piece has at most 2,147,483,647 elements")
    let shards = unit.shards
    let offsets = shards.map { $0.isEmpty ? 0 : $0.lowerBound - unit.range.lowerBound }
    var chunks: [Chunk] = []
    for advance in stride(from: 0, to: shards.map(\.count).max() ?? 0, by: share) {
      let shares = shards.map { min(share, max(0, $0.count - advance)) }
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

  /// Runs one piece of work, and starts the following one ahead.
  ///
  /// - Parameter following: returns the next work, if it is submitted by then.
  func perform(_ work: Work, following: () -> Work?) throws {
    let next = { following().map(Self.first) }
    do {
      switch work {
      case .gather(let unit): try run(.parameters(unit: unit), following: next)
      case .reduce(let unit) where remainder == .gather:
        try run(.sums(unit: unit)) { nil }
        try run(.completeSums(unit: unit), following: next)
      case .reduce(let unit):
        try run(.sums(unit: unit), following: next)
        if remainder == .discard { discardRemainder(unit) }
      }
    } catch {
      hasFailed = true
      ahead.take()?.abandon()
      throw error
    }
  }

  private static func first(_ work: Work) -> Transfer {
    switch work {
    case .gather(let unit): .parameters(unit: unit)
    case .reduce(let unit): .sums(unit: unit)
    }
  }

  private func run(_ transfer: Transfer, following: () -> Transfer?) throws {
    let count = chunks(transfer).count
    guard count > 0 else { return }
    let beginning = try ahead.take() ?? begin(transfer)
    var next: Request? = beginning.chunk
    do {
      // Ranks arrive at different times; spinning would take a core from the computation.
      try beginning.arrival.wait(pollingEvery: Self.pollInterval, sleepsFirst: true)
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
        try current.wait(pollingEvery: Self.pollInterval)
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
    let arrival = try groups[units[transfer.unit].group].startBarrier()
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
    case .sums(let unit): exchanges[unit]
    case .parameters(let unit), .completeSums(let unit): gathers[unit]
    }
  }

  private func start(_ transfer: Transfer, _ number: Int) throws -> Request {
    let (unit, chunk) = (units[transfer.unit], chunks(transfer)[number])
    let group = groups[unit.group]
    let range = unit.range.dropFirst(chunk.advance)
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

  /// Adds a received chunk of sums to this rank's shard.
  private func finish(_ transfer: Transfer, _ number: Int) {
    guard case .sums(let index) = transfer else { return }
    let (unit, chunk) = (units[index], exchanges[index][number])
    let group = groups[unit.group]
    let place = added % underWay * room
    added += 1
    let count = chunk.shares[group.rank]
    let first = unit.shards[group.rank].lowerBound + chunk.advance
    guard count > 0, let sum = gradient.buffer.pointer.baseAddress?.advanced(by: first) else { return }
    let share = ExchangeChunk.share(ranks: group.size)
    for rank in 0..<group.size - 1 {
      let addend = received.buffer[place + rank * share..<place + rank * share + count]
      for index in 0..<count { sum[index] &+= addend[index] }
    }
  }

  private func discardRemainder(_ index: Int) {
    let unit = units[index]
    let mine = unit.shards[groups[unit.group].rank].clamped(to: unit.range)
    gradient.discard(unit.range.lowerBound..<mine.lowerBound)
    gradient.discard(mine.upperBound..<unit.range.upperBound)
  }
}

extension CollectiveScheduler.Transfer {
  fileprivate var unit: Int {
    switch self {
    case .sums(let unit), .parameters(let unit), .completeSums(let unit): unit
    }
  }
}
