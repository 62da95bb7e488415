import Batches
import Kernels
public import Models
import Optimizers
public import RunConfiguration
public import Sharding

/// Predicted memory of a rank, by role, from the formulas that allocate it.
public struct MemoryPlan: Sendable {
  public struct Component: Sendable, Equatable {
    public let role: String
    public let bytes: Int
  }

  /// Largest first.
  public let components: [Component]
  public var bytes: Int { bytes(besides: []) }
  public func bytes(besides roles: Set<String>) -> Int {
    components.reduce(0) { roles.contains($1.role) ? $0 : $0 + $1.bytes }
  }

  /// Rows received by the busiest rank per row that it sends, typically and at the peak of a run: routers are not
  /// perfectly balanced, and less so the fewer experts a rank has.
  static func usualReceivedRows(experts: Int) -> Double { 1 + 0.4 / Double(max(1, experts)) }
  static func peakReceivedRows(experts: Int) -> Double { 1 + 1.2 / Double(max(1, experts)) }

  /// The role of MPI's shared memory, which the ranks of a node have in common: each maps the others' segments.
  static let sharedRole = "shared with ranks of the node"

  /// Bytes that a rank touches of each shared-memory segment, its own and its neighbours': Open MPI 4.1 (vader) sends
  /// small messages from slots of a page and a header, eight at first and about two per receiver, up to the 72 that
  /// `Launcher` permits. Slots are reused in turn, so each receiver maps them all. Measured at 8 to 64 ranks.
  static func sharedBytes(ofSegmentAmong neighbours: Int) -> Int { min(72, 8 + 2 * neighbours) * (4096 + 128) }

  /// - Parameters:
  ///   - rank: in `0..<shardingPlan.ranks`.
  ///   - threads: per rank.
  ///   - neighbours: the number of ranks on its node, itself included.
  ///   - shadowsExperts: whether experts are shadowed.
  ///   - recompute: nil for the configuration's.
  ///   - schedule: the schedule of a training pass; nil for that of the layout and `recompute`.
  public init(
    _ configuration: RunConfiguration, shardingPlan: ShardingPlan, rank: Int, threads: Int, neighbours: Int = 1,
    shadowsExperts: Bool = false, recompute: Recomputation? = nil, schedule: PassSchedule? = nil
  ) {
    let layout = shardingPlan.layout
    let recompute = recompute ?? configuration.memory.recompute
    let schedule = schedule ?? .training(layout, recompute: recompute)
    let units = layout.units.indices
    let page = shardingPlan.usesHugePages ? 1 << 21 : 4096
    let resident = units.map { shardingPlan.resident(unit: $0, by: rank) }
    let updateRange = units.map { shardingPlan.updateRange(unit: $0, by: rank) }.filter { !$0.isEmpty }
    let experts = shardingPlan.experts.experts(of: rank).count
    let degree = Double(shardingPlan.experts.degree)
    let receiveCapacity = min(Self.peakReceivedRows(experts: experts), degree)
    let receivedShare = min(receiveCapacity - 1 / degree, degree - 1)
    let activations = Decoder.plannedBytes(
      configuration.model, sequences: configuration.batch.microBatch, length: configuration.data.sequenceLength,
      training: true, recompute: recompute, experts: experts,
      receiveCapacity: shardingPlan.experts.degree > 1
        ? { ReceiveCapacity(all: Int(Double($0) * receiveCapacity), received: Int(Double($0) * receivedShare)) } : nil)
    let inUse = Self.unitsInUse(shardingPlan, schedule, rank: rank)
    var components = [
      Component(role: "parameters", bytes: Self.resident(resident, elementSize: 4, page: page)),
      Component(role: "gradient sums", bytes: Self.resident(resident, elementSize: 8, page: page)),
      Component(
        role: "moments",
        bytes: Optimizer.plannedBytes(tensors: configuration.optimizer.tensors(of: layout), shards: updateRange)),
      Component(role: "activations", bytes: activations),
      Component(
        role: "buffers",
        bytes: Self.exchangeBytes(shardingPlan) + threads * Backend.plannedBytesPerThread
          + MicroBatchAssignment(microBatches: configuration.batch.microBatches, ranks: shardingPlan.ranks).microSteps
          * TokenBatch.bytes(tokens: configuration.batch.microBatch * configuration.data.sequenceLength)),
    ]
    if configuration.usesStagingBuffer {
      let shards = units.map { shardingPlan.shards[$0][rank] }.filter { !$0.isEmpty }
      components.append(
        Component(
          role: "copy for checkpoints",
          bytes: 4 * shards.reduce(0) { $0 + $1.count }
            + Optimizer.plannedBytes(tensors: configuration.optimizer.tensors(of: layout), shards: shards)))
    }
    if shadowsExperts {
      // One hosted expert, and the gradient of one shadowed one.
      components.append(Component(role: "lent experts", bytes: 8 * layout.expertSize))
    }
    if configuration.checkpoint.local != nil, shardingPlan.ranks > 1 {
      let state = units.reduce(0) { $0 + 12 * shardingPlan.shards[$1][rank].count }
      components.append(Component(role: "blocks of copies", bytes: 2 * min(CopyBlock.bytes, state)))
    }
    if neighbours > 1 {
      let segment = Self.sharedBytes(ofSegmentAmong: neighbours)
      components.append(Component(role: Self.sharedRole, bytes: neighbours * segment))
    }
    if inUse > 0 { components.append(Component(role: "pieces in use", bytes: inUse)) }
    self.components = components.sorted { $0.bytes > $1.bytes }
  }

  /// The bytes of the pages that ranges of an arena touch.
  static func resident(_ ranges: [Range<Int>], elementSize: Int, page: Int) -> Int {
    var (pages, end) = (0, 0)
    for range in ranges where !range.isEmpty {
      let first = max(end, range.lowerBound * elementSize / page)
      end = max(first, (range.upperBound * elementSize + page - 1) / page)
      pages += end - first
    }
    return pages * page
  }

  /// With full sharding, max bytes beyond the resident ranges: parameters that are unsharded or prefetched, and
  /// gradient sums that are written or being reduced.
  private static func unitsInUse(_ shardingPlan: ShardingPlan, _ schedule: PassSchedule, rank: Int) -> Int {
    guard shardingPlan.stage == .full else { return 0 }
    func extra(_ unit: Int) -> Int {
      shardingPlan.computeRange(unit: unit, by: rank).count - shardingPlan.shards[unit][rank].count
    }
    var window = UnitWindow()
    window.begin(schedule)
    var largest = 0
    for event in schedule.events {
      switch event {
      case .unshard(let unit): _ = window.unshard(unit)
      case .reshard(let unit): window.reshard(unit)
      case .beginGradient(let unit): _ = window.beginGradient(unit)
      case .reduceGradient(let unit): window.reduceGradient(unit)
      case .compute: break
      }
      let bytes =
        4 * window.unsharded.reduce(0) { $0 + extra($1) } + 8 * window.summed.reduce(0) { $0 + extra($1) }
      largest = max(largest, bytes)
    }
    return largest
  }

  /// Bytes of the receive buffers of gradient reductions: the other ranks' sums of the chunks in flight.
  private static func exchangeBytes(_ shardingPlan: ShardingPlan) -> Int {
    8 * ExchangeChunk.buffer(ranks: shardingPlan.ranks)
  }

  public static func mebibytes(_ bytes: Int) -> String { "\((bytes + (1 << 19)) >> 20) MiB" }

  /// `parameters 12 MiB, moments 3 MiB, …`
  public var description: String {
    components.map { "\($0.role) \(Self.mebibytes($0.bytes))" }.joined(separator: ", ")
  }
}
