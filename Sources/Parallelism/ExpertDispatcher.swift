import Kernels
public import MPI
public import Models
public import Placement

/// Expert parallelism: rows travel between the ranks that share the experts of every layer, by `MPI_Ialltoallv`.
///
/// A communication thread of its own runs the transfers in the order in which they were started, so that the experts of
/// one chunk work while the rows of another are on their way: Open MPI moves nothing unless a thread waits in it. All
/// ranks of the group start the same transfers in the same order, those without rows too. The caller leaves the matrices
/// of a transfer alone until it has waited for it: the dispatcher's confined unsafe point.
public final class ExpertDispatcher: TokenDispatcher {
  public let localExperts: Range<Int>
  public let isDistributed = true
  /// The time that computation has waited for rows, seconds.
  public private(set) var exposedSeconds = 0.0

  /// Chunks into which the experts of a rank are cut: enough to hide transfers, few enough to keep messages large. Where
  /// a rank has one expert there is nothing to cut.
  private let chunks: Int

  /// Rows that lending an expert must take off a rank; nil when none are lent.
  private let fewestRows: Int?
  public var lendsExperts: Bool { fewestRows != nil }

  private let placement: ExpertPlacement
  private let group: Communicator
  private let thread: SerialThread<Transfer>
  private let counts: Counts

  private typealias Transfer = @Sendable () throws -> Void

  // How long to sleep between looks whether all ranks have come to a transfer: others may need this core meanwhile.
  private static let lookInterval: UInt32 = 20

  /// `[ranks, experts]`: what every rank's micro-batch wants of every expert.
  private final class Counts: Sendable {
    nonisolated(unsafe) let values: UnsafeMutableBufferPointer<Int32>

    init(_ count: Int) {
      values = .allocate(capacity: count)
      values.initialize(repeating: 0)
    }

    deinit { values.deallocate() }
  }

  /// Collective.
  ///
  /// - Parameters:
  ///   - group: the ranks that share the experts, in the order of their places; a duplicate is used.
  ///   - shadows: when busy ranks lend experts to others.
  ///   - threads: that a rank computes with.
  /// - Throws: `MPIError`.
  public init(_ placement: ExpertPlacement, group: Communicator, shadows: ExpertShadowing, threads: Int) throws {
    precondition(group.size == placement.degree, "a group has as many ranks as share the experts")
    self.placement = placement
    chunks = placement.experts / placement.degree >= 2 ? 2 : 1
    let group = try group.duplicate(name: "expert rows")
    self.group = group
    localExperts = placement.experts(at: group.rank)
    fewestRows =
      switch shadows {
      case .never: nil
      case .always: 1
      // Weights travel twice and their gradient once, 12 bytes a parameter, to save 6 floating-point operations a row.
      // All ranks must choose alike, however many threads each has.
      case .auto: try Nodes(group).ranks.count == 1 ? 128 * Int(group.allReduce(Int64(threads), .max)) : nil
      }
    counts = Counts(group.size * placement.experts)
    thread = SerialThread(isUrgent: true) { transfer in try transfer() }
  }

  public func arrivals(of rows: Int) -> Int { rows * placement.degree }

  public func plan(_ offsets: Buffer<Int32>) throws -> DispatchPlan {
    let (experts, ranks) = (placement.experts, group.size)
    let mine = group.rank * experts
    for expert in 0..<experts { counts.values[mine + expert] = offsets[expert + 1] - offsets[expert] }
    let layout = Layout(contiguous: Array(repeating: experts, count: ranks))
    try wait(
      for: thread.submit { [group, counts] in
        try group.barrier(lookingEvery: Self.lookInterval)
        try group.allGather(arena: counts.values, layout: layout)
      })
    let table = (0..<ranks).map { rank in
      (0..<experts).map { Int(counts.values[rank * experts + $0]) }
    }
    return DispatchPlan(
      counts: table, experts: (0..<ranks).map { placement.experts(at: $0) }, rank: group.rank, chunks: chunks,
      fewestRows: fewestRows)
  }

  public func startDispatch(_ chunk: Int, of plan: DispatchPlan, from own: Matrix, to arriving: Matrix) -> Int {
    start(from: own, plan.outgoing[chunk], to: arriving, plan.incoming[chunk], largest: plan.largest)
  }

  public func startReturn(_ chunk: Int, of plan: DispatchPlan, from arrived: Matrix, to own: Matrix) -> Int {
    start(from: arrived, plan.incoming[chunk], to: own, plan.outgoing[chunk], largest: plan.largest)
  }

  private func start(
    from source: Matrix, _ outgoing: [Range<Int>], to destination: Matrix, _ incoming: [Range<Int>], largest: Int
  ) -> Int {
    precondition(source.stride == source.columns && destination.stride == source.columns, "rows travel whole")
    let columns = source.columns
    let exchange = ExchangePlan(
      send: Self.layout(outgoing, columns), receive: Self.layout(incoming, columns), largest: largest * columns)
    return start(
      from: Buffer(base: source.base, count: source.rows * columns),
      to: Buffer(base: destination.base, count: destination.rows * columns), exchange)
  }

  private func start(from source: Buffer<Float>, to destination: Buffer<Float>, _ exchange: ExchangePlan) -> Int {
    thread.submit { [group] in
      try group.barrier(lookingEvery: Self.lookInterval)
      try group.startAllToAll(
        arena: UnsafeBufferPointer(source.pointer), into: destination.pointer, plan: exchange
      ).wait(lookingEvery: Self.lookInterval)
    }
  }

  public func startLending(_ plan: DispatchPlan, from experts: Buffer<Float>, to borrowed: Buffer<Float>) -> Int {
    start(from: experts, to: borrowed, shadowExchange(plan, size: borrowed.count, lending: true))
  }

  public func startReturningGradient(
    _ plan: DispatchPlan, from borrowed: Buffer<Float>, to lent: Buffer<Float>
  ) -> Int {
    start(from: borrowed, to: lent, shadowExchange(plan, size: borrowed.count, lending: false))
  }

  /// Who gives how much to whom when experts are lent, or their gradients returned.
  private func shadowExchange(_ plan: DispatchPlan, size: Int, lending: Bool) -> ExchangePlan {
    var (counts, places) = (Array(repeating: 0, count: group.size), Array(repeating: 0, count: group.size))
    for (place, shadow) in plan.lent.enumerated() {
      counts[shadow.borrower] = size
      places[shadow.borrower] = (lending ? shadow.expert - localExperts.lowerBound : place) * size
    }
    let lender = Layout(counts: counts, offsets: places)
    counts = Array(repeating: 0, count: group.size)
    if let shadow = plan.shadows.first(where: { $0.borrower == group.rank }) { counts[shadow.lender] = size }
    let borrower = Layout(counts: counts, offsets: Array(repeating: 0, count: group.size))
    let largest = max(ExpertShadow.mostLent, (placement.experts + group.size - 1) / group.size) * size
    return ExchangePlan(send: lending ? lender : borrower, receive: lending ? borrower : lender, largest: largest)
  }

  private static func layout(_ rows: [Range<Int>], _ columns: Int) -> Layout {
    Layout(counts: rows.map { $0.count * columns }, offsets: rows.map { $0.lowerBound * columns })
  }

  public func wait(for transfer: Int) throws {
    let start = ContinuousClock.now
    defer { exposedSeconds += (ContinuousClock.now - start) / .seconds(1) }
    try thread.wait(for: transfer)
  }
}
