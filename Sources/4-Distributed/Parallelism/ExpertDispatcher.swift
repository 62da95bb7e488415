import Kernels
public import MPI
public import Models
public import Sharding

/// All-to-all token dispatcher (`MPI_Ialltoallv`) among the ranks that share the experts of every layer.
///
/// A communication thread runs the transfers in the order in which they were started, so that one chunk is computed
/// while another is in flight: Open MPI makes progress only while a thread waits in it. All ranks of the group start
/// the same transfers in the same order, also without rows. The caller does not access the rows of a transfer until it
/// has waited for it.
public final class ExpertDispatcher: TokenDispatcher {
  public let localExperts: Range<Int>
  /// Exposed communication: the time that computation has waited for rows, seconds.
  public private(set) var exposedCommunicationSeconds = 0.0

  private let ownParts: Int
  private let usesTimings: Bool

  public let shadowsExperts: Bool

  private let placement: ExpertPlacement
  private let group: Communicator
  private let thread: SerialThread<Transfer>
  private let countExchange: CountExchange

  private typealias Transfer = @Sendable () throws -> Void

  // Polling interval of a transfer in microseconds: first and max. Other threads need this core meanwhile, and have
  // work while rows are late.
  private static let pollInterval: (first: UInt32, longest: UInt32) = (50, 200)

  /// The state of the count exchange; used by the communication thread only.
  private final class CountExchange: Sendable {
    /// `[ranks, experts + 2]`: the rows of every rank's micro-batch for every expert, and the rank's timing.
    nonisolated(unsafe) let gathered: UnsafeMutableBufferPointer<Int32>
    /// Nil without shadowing.
    nonisolated(unsafe) var shadowSelection: ShadowSelection?

    init(numbers: Int, shadowSelection: ShadowSelection?) {
      gathered = .allocate(capacity: numbers)
      gathered.initialize(repeating: 0)
      self.shadowSelection = shadowSelection
    }

    deinit { gathered.deallocate() }
  }

  /// Starts the dispatcher's communication thread. Collective.
  ///
  /// - Parameters:
  ///   - group: the ranks that share the experts, in the order of the placement; a duplicate is used.
  ///   - shadows: when experts of busy ranks are shadowed.
  ///   - usesTimings: whether measured timings count, so that experts of slower ranks are shadowed more.
  ///   - threads: the compute threads of a rank.
  /// - Throws: `MPIError`.
  public init(
    _ placement: ExpertPlacement, group: Communicator, shadows: ExpertShadowing, usesTimings: Bool, threads: Int
  ) throws {
    precondition(group.size == placement.degree, "a group has as many ranks as share the experts")
    self.placement = placement
    let group = try group.duplicate(name: "expert rows")
    self.group = group
    localExperts = placement.experts(at: group.rank)
    ownParts = placement.ownParts(of: group.rank, threads: threads)
    self.usesTimings = usesTimings
    let minRows: Int? =
      switch shadows {
      case .never: nil
      case .always: 1
      // Weights are sent twice and their gradient once, 12 bytes a parameter, to save 6 floating-point operations a
      // row. All ranks must choose alike, so the max of their thread counts decides.
      case .auto: try Nodes(group).ranks.count == 1 ? 128 * Int(group.allReduce(Int64(threads), .max)) : nil
      }
    shadowsExperts = minRows != nil
    let experts = (0..<group.size).map { placement.experts(at: $0) }
    countExchange = CountExchange(
      numbers: group.size * (placement.experts + 2),
      shadowSelection: minRows.map { ShadowSelection(experts: experts, chunks: placement.chunks, minRows: $0) })
    thread = try SerialThread(isUrgent: true) { transfer in try transfer() }
  }

  public func receiveCapacity(of rows: Int) -> ReceiveCapacity {
    ReceiveCapacity(all: rows * placement.degree, received: rows * (placement.degree - 1))
  }

  public func beginDispatch(_ offsets: Buffer<Int32>, timing: ExpertTiming) -> TokenDispatch {
    let experts = placement.experts
    let own = (0..<experts).map { Int(offsets[$0 + 1] - offsets[$0]) }
    let tokenDispatch = TokenDispatch(
      counts: own, experts: localExperts, rank: group.rank, chunks: placement.chunks, parts: ownParts)
    let timing = usesTimings ? timing : .unknown
    let width = experts + 2
    let layout = RankCounts(contiguous: Array(repeating: width, count: group.size))
    thread.submit { [group, countExchange, placement] in
      for (place, number) in (own.map { Int32($0) } + [timing.preExpert, timing.row]).enumerated() {
        countExchange.gathered[group.rank * width + place] = number
      }
      try Self.wait(for: group.startAllGather(arena: countExchange.gathered, layout: layout))
      let gathered = (0..<group.size).map { Array(countExchange.gathered[$0 * width..<($0 + 1) * width]) }
      let counts = gathered.map { $0.prefix(experts).map { Int($0) } }
      let timings = gathered.map { ExpertTiming(preExpert: $0[experts], row: $0[experts + 1]) }
      tokenDispatch.plan = DispatchPlan(
        counts: counts, experts: (0..<group.size).map { placement.experts(at: $0) }, rank: group.rank,
        chunks: tokenDispatch.chunks, shadows: countExchange.shadowSelection?.choose(counts, timings: timings) ?? [])
    }
    return tokenDispatch
  }

  public func startDispatch(_ chunk: Int, of tokenDispatch: TokenDispatch, from own: Matrix, to received: Matrix) -> Int
  {
    start(tokenDispatch, from: Self.whole(own), to: Self.whole(received)) {
      ExchangePlan(
        send: Self.layout($0.outgoing[chunk], own.columns), receive: Self.layout($0.incoming[chunk], own.columns),
        largest: $0.largest * own.columns)
    }
  }

  public func startReturn(_ chunk: Int, of tokenDispatch: TokenDispatch, from received: Matrix, to own: Matrix) -> Int {
    start(tokenDispatch, from: Self.whole(received), to: Self.whole(own)) {
      ExchangePlan(
        send: Self.layout($0.incoming[chunk], own.columns), receive: Self.layout($0.outgoing[chunk], own.columns),
        largest: $0.largest * own.columns)
    }
  }

  /// Starts the exchange that `exchange` derives from the plan of the dispatch; nil for none.
  private func start(
    _ tokenDispatch: TokenDispatch, from source: Buffer<Float>, to destination: Buffer<Float>,
    _ exchange: @escaping @Sendable (DispatchPlan) -> ExchangePlan?
  ) -> Int {
    thread.submit { [group] in
      guard let exchange = exchange(tokenDispatch.agreed) else { return }
      try Self.wait(
        for: group.startAllToAll(
          arena: UnsafeBufferPointer(source.pointer), into: destination.pointer, plan: exchange))
    }
  }

  private static func wait(for request: consuming Request) throws {
    try request.wait(pollingEvery: pollInterval.first, sleepsFirst: true, longest: pollInterval.longest)
  }

  public func startShadowing(_ tokenDispatch: TokenDispatch, from experts: Buffer<Float>, to hosted: Buffer<Float>)
    -> Int
  {
    start(tokenDispatch, from: experts, to: hosted, shadowExchange(size: hosted.count, toHosts: true))
  }

  public func startReturningShadowGradient(
    _ tokenDispatch: TokenDispatch, from hosted: Buffer<Float>, to shadowed: Buffer<Float>
  ) -> Int {
    start(tokenDispatch, from: hosted, to: shadowed, shadowExchange(size: hosted.count, toHosts: false))
  }

  /// The exchange of shadowed experts: weights to the hosts, or gradients back to the owners.
  private func shadowExchange(size: Int, toHosts: Bool) -> @Sendable (DispatchPlan) -> ExchangePlan? {
    { [rank = group.rank, ranks = group.size, placement, localExperts] plan in
      guard !plan.shadows.isEmpty else { return nil }
      var (counts, places) = (Array(repeating: 0, count: ranks), Array(repeating: 0, count: ranks))
      for (place, shadow) in plan.shadowed.enumerated() {
        counts[shadow.host] = size
        places[shadow.host] = (toHosts ? shadow.expert - localExperts.lowerBound : place) * size
      }
      let owner = RankCounts(counts: counts, offsets: places)
      counts = Array(repeating: 0, count: ranks)
      if let shadow = plan.shadows.first(where: { $0.host == rank }) { counts[shadow.owner] = size }
      let host = RankCounts(counts: counts, offsets: Array(repeating: 0, count: ranks))
      let largest = max(ExpertShadow.maxShadowed, (placement.experts + ranks - 1) / ranks) * size
      return ExchangePlan(
        send: toHosts ? owner : host, receive: toHosts ? host : owner, largest: largest)
    }
  }

  private static func layout(_ rows: [Range<Int>], _ columns: Int) -> RankCounts {
    RankCounts(counts: rows.map { $0.count * columns }, offsets: rows.map { $0.lowerBound * columns })
  }

  private static func whole(_ matrix: Matrix) -> Buffer<Float> {
    precondition(matrix.stride == matrix.columns, "rows travel whole")
    return Buffer(base: matrix.base, count: matrix.rows * matrix.columns)
  }

  public func isComplete(_ transfer: Int) -> Bool { thread.isDone(transfer) }

  public func wait(for transfer: Int) throws {
    let start = ContinuousClock.now
    defer { exposedCommunicationSeconds += (ContinuousClock.now - start) / .seconds(1) }
    try thread.wait(for: transfer)
  }
}
