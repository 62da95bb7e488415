import Batches
import Kernels
public import Models
import Optimizers
public import Sharding
public import RunConfiguration

/// A rank's memory, by role: from the formulas that lay it out.
public struct MemoryPlan: Sendable {
  public struct Part: Sendable, Equatable {
    public let role: String
    public let bytes: Int
  }

  /// Largest first.
  public let parts: [Part]
  public var bytes: Int { bytes(besides: []) }
  public func bytes(besides roles: Set<String>) -> Int {
    parts.reduce(0) { roles.contains($1.role) ? $0 : $0 + $1.bytes }
  }

  /// How many rows arrive at the experts of the rank that gets most, for each that it sends, usually and at the worst
  /// moment of a run: routers are never quite even, and the fewer experts a rank has, the less even.
  static func usualArrivals(experts: Int) -> Double { 1 + 0.4 / Double(max(1, experts)) }
  static func peakArrivals(experts: Int) -> Double { 1 + 1.2 / Double(max(1, experts)) }

  /// The role of what ranks of a node exchange through, which they have in common: each maps what the others send from.
  static let sharedRole = "shared with ranks of the node"

  /// What a rank touches of each segment of shared memory, its own and its neighbours': Open MPI 4.1 sends small messages
  /// (vader) from slots of a page and a header, eight at first and about two for each rank that is sent to, until there
  /// are the 72 that `Launcher` permits. Used ones come round, so that each receiver sees them all. Measured at 8 to 64.
  static func sharedBytes(ofSegmentAmong neighbours: Int) -> Int { min(72, 8 + 2 * neighbours) * (4096 + 128) }

  /// - Parameters:
  ///   - rank: of `placement.ranks`.
  ///   - threads: of a rank.
  ///   - neighbours: ranks on its node, itself included.
  ///   - lendsExperts: whether the ranks that share experts lend them to each other.
  ///   - recompute: nil for what the configuration says.
  ///   - schedule: of a training pass; nil for that of the layout.
  public init(
    _ configuration: RunConfiguration, placement: StatePlacement, rank: Int, threads: Int, neighbours: Int = 1,
    lendsExperts: Bool = false, recompute: Recomputation? = nil, schedule: PassSchedule? = nil
  ) {
    let layout = placement.layout
    let recompute = recompute ?? configuration.memory.recompute
    let schedule = schedule ?? .training(layout, recompute: recompute)
    let pieces = layout.pieces.indices
    let page = placement.usesHugePages ? 1 << 21 : 4096
    let kept = pieces.map { placement.kept(piece: $0, by: rank) }
    let updated = pieces.map { placement.updated(piece: $0, by: rank) }.filter { !$0.isEmpty }
    let experts = placement.experts.experts(of: rank).count
    let degree = Double(placement.experts.degree)
    let arrivals = min(Self.peakArrivals(experts: experts), degree)
    let visitors = min(arrivals - 1 / degree, degree - 1)
    let activations = Decoder.plannedBytes(
      configuration.model, sequences: configuration.batch.microBatch, length: configuration.data.sequenceLength,
      training: true, recompute: recompute, experts: experts,
      arrivals: placement.experts.degree > 1
        ? { ArrivingRows(all: Int(Double($0) * arrivals), visiting: Int(Double($0) * visitors)) } : nil)
    let inUse = Self.piecesInUse(placement, schedule, rank: rank)
    var parts = [
      Part(role: "parameters", bytes: Self.resident(kept, elementSize: 4, page: page)),
      Part(role: "gradient sums", bytes: Self.resident(kept, elementSize: 8, page: page)),
      Part(
        role: "moments",
        bytes: Optimizer.plannedBytes(tensors: configuration.optimizer.tensors(of: layout), shards: updated)),
      Part(role: "activations", bytes: activations),
      Part(
        role: "buffers",
        bytes: Self.exchangeBytes(placement) + threads * Compute.plannedBytesPerThread
          + MicroBatchDealing(microBatches: configuration.batch.microBatches, ranks: placement.ranks).rounds
          * TokenBatch.bytes(tokens: configuration.batch.microBatch * configuration.data.sequenceLength)),
    ]
    if configuration.keepsSnapshot {
      let owned = pieces.map { placement.owned[$0][rank] }.filter { !$0.isEmpty }
      parts.append(
        Part(
          role: "copy for checkpoints",
          bytes: 4 * owned.reduce(0) { $0 + $1.count }
            + Optimizer.plannedBytes(tensors: configuration.optimizer.tensors(of: layout), shards: owned)))
    }
    if lendsExperts {
      // One borrowed, and the gradient of one lent.
      parts.append(Part(role: "lent experts", bytes: 8 * layout.expertSize))
    }
    if configuration.checkpoint.local != nil, placement.ranks > 1 {
      let state = pieces.reduce(0) { $0 + 12 * placement.owned[$1][rank].count }
      parts.append(Part(role: "blocks of copies", bytes: 2 * min(CopyBlock.bytes, state)))
    }
    if neighbours > 1 {
      let segment = Self.sharedBytes(ofSegmentAmong: neighbours)
      parts.append(Part(role: Self.sharedRole, bytes: neighbours * segment))
    }
    if inUse > 0 { parts.append(Part(role: "pieces in use", bytes: inUse)) }
    self.parts = parts.sorted { $0.bytes > $1.bytes }
  }

  /// The memory of the pages that some ranges of an arena touch.
  static func resident(_ ranges: [Range<Int>], elementSize: Int, page: Int) -> Int {
    var (pages, end) = (0, 0)
    for range in ranges where !range.isEmpty {
      let first = max(end, range.lowerBound * elementSize / page)
      end = max(first, (range.upperBound * elementSize + page - 1) / page)
      pages += end - first
    }
    return pages * page
  }

  /// With full sharding, the most that is here for a moment beyond what is kept: parameters that are used or prefetched,
  /// and sums that are written or on their way.
  private static func piecesInUse(_ placement: StatePlacement, _ schedule: PassSchedule, rank: Int) -> Int {
    guard placement.sharding == .full else { return 0 }
    func extra(_ piece: Int) -> Int {
      placement.computed(piece: piece, by: rank).count - placement.owned[piece][rank].count
    }
    var window = PieceWindow()
    window.begin(schedule)
    var largest = 0
    for event in schedule.events {
      switch event {
      case .unshard(let piece): _ = window.unshard(piece)
      case .reshard(let piece): window.reshard(piece)
      case .beginGradient(let piece): _ = window.beginGradient(piece)
      case .reduceGradient(let piece): window.reduceGradient(piece)
      case .compute: break
      }
      let bytes =
        4 * window.unsharded.reduce(0) { $0 + extra($1) } + 8 * window.summed.reduce(0) { $0 + extra($1) }
      largest = max(largest, bytes)
    }
    return largest
  }

  /// The exchange's buffers: every other rank's numbers of the chunks that are under way.
  private static func exchangeBytes(_ placement: StatePlacement) -> Int {
    8 * ExchangeChunk.buffer(ranks: placement.ranks)
  }

  public static func mebibytes(_ bytes: Int) -> String { "\((bytes + (1 << 19)) >> 20) MiB" }

  /// `parameters 12 MiB, moments 3 MiB, …`
  public var description: String {
    parts.map { "\($0.role) \(Self.mebibytes($0.bytes))" }.joined(separator: ", ")
  }
}
