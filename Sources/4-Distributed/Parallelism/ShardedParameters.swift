import Kernels
import MPI
public import Models
public import Sharding
import Support

/// Fully sharded data parallelism (ZeRO): unshards and reshards the parameters of each unit, and reduces its gradients
/// to their owners.
///
/// With `ZeROStage.none` and `.optimizer` a rank's compute range is resident; the last micro-step reduces each finished
/// gradient, and with `.optimizer` updated parameters are gathered during the next forward pass. With `.full` only a
/// rank's shards are resident: every unit is gathered just before its use, the next one of the pass is prefetched, and
/// its memory is freed after use; gradients are reduced in every micro-step.
public final class ShardedParameters: ParameterSharding {
  public let shardingPlan: ShardingPlan
  /// This rank among those that the parameters are sharded over.
  public let rank: Int
  /// All ranks of the job, including those that compute the same.
  let world: Communicator
  /// The ranks that the parameters are sharded over, and the ranks with the same experts.
  let groups: [Communicator]
  private let units: [ExchangedUnit]
  private let reducer: ExactGradientReducer
  private let parameters: Arena<Float>
  private let accumulator: FixedPointGradientAccumulator?
  private let backend: Backend

  private var isLastMicroStep = false
  /// With full sharding, the units that are unsharded at the moment.
  private var window = UnitWindow()
  /// Max measured resident memory of this process, bytes; measured at the peaks of a fully sharded pass, 0 otherwise.
  public private(set) var peakResidentBytes = 0

  /// Plans the collectives of all units. Collective.
  ///
  /// - Parameters:
  ///   - mesh: the parameters are sharded over its batch group; the ranks along its data axis have the same experts.
  ///   - parameters, accumulator: `[layout.count]`; without an accumulator the parameters are frozen.
  /// - Throws: `MPIError`.
  public init(
    shardingPlan: ShardingPlan, mesh: ProcessMesh, parameters: Arena<Float>,
    accumulator: FixedPointGradientAccumulator?,
    backend: Backend
  ) throws {
    self.shardingPlan = shardingPlan
    self.parameters = parameters
    self.accumulator = accumulator
    self.backend = backend
    world = mesh.world
    let rank = mesh.batch.rank
    self.rank = rank
    groups = [mesh.batch, mesh[.data]]
    units = shardingPlan.layout.units.indices.map { unit in
      ExchangedUnit(
        group: shardingPlan.isExperts(unit) ? 1 : 0, range: shardingPlan.computeRange(unit: unit, by: rank),
        shards: shardingPlan.holders(unit: unit, of: rank).map { shardingPlan.shards[unit][$0] })
    }
    for run in shardingPlan.residentRuns(by: rank) {  // the rest is not resident
      parameters.useHugePages(in: run)
      accumulator?.memory.useHugePages(in: run)
    }
    let remainder: ExactGradientReducer.Remainder =
      switch shardingPlan.stage {
      case .none: .gather
      case .optimizer: .keep
      case .full: .discard
      }
    reducer = try ExactGradientReducer(
      groups: groups, units: units, gradient: accumulator?.memory ?? Arena(count: 0), parameters: parameters,
      remainder: remainder)
  }

  private var isFull: Bool { shardingPlan.stage == .full }
  public var releasesParameters: Bool { isFull }

  /// Exposed communication: the time that computation has waited for parameters and sums, seconds.
  public var exposedCommunicationSeconds: Double { reducer.exposedCommunicationSeconds }

  /// This rank's shards, by unit.
  public var shards: [Range<Int>] { shardingPlan.shards.map { $0[rank] } }
  /// This rank's resident ranges, whose parameters and gradient sums it keeps between steps, by unit.
  public var resident: [Range<Int>] { units.indices.map { shardingPlan.resident(unit: $0, by: rank) } }
  /// This rank's update ranges, by unit.
  public var updateRange: [Range<Int>] { units.indices.map { shardingPlan.updateRange(unit: $0, by: rank) } }

  /// The shards of a group's member, of the units that the group holds.
  func shards(by member: Int, inGroup group: Int) -> [Range<Int>] {
    units.filter { $0.group == group }.map { $0.shards[member] }
  }

  func holdsUnits(inGroup group: Int) -> Bool { units.contains { $0.group == group } }

  private var trained: FixedPointGradientAccumulator {
    guard let accumulator else { preconditionFailure("frozen parameters have no gradients") }
    return accumulator
  }

  /// With full sharding, the units whose parameters are unsharded or being gathered.
  public var unshardedUnits: Set<Int> { window.unsharded }

  // MARK: A step

  /// Resets the gradient sums for a step.
  public func zeroGradients() {
    // Elsewhere a fully sharded pass has freed the pages, which read as zero.
    if isFull { trained.reset(resident, backend: backend) } else { trained.restart() }
  }

  /// Begins a micro-step: a pass of all ranks, each with or without a micro-batch.
  ///
  /// - Parameters:
  ///   - schedule: the schedule of the pass.
  ///   - last: whether it is the last of the step, after which gradients are final.
  public func beginMicroStep(_ schedule: PassSchedule, last: Bool) {
    isLastMicroStep = last
    if isFull { window.begin(schedule) }
  }

  public func unshard(_ unit: Int) throws {
    if isFull { for unit in window.unshard(unit) { reducer.submitGather(unit: unit) } }
    try reducer.waitGather(unit: unit)
  }

  public func reshard(_ unit: Int) {
    guard isFull else { return }
    window.reshard(unit)
    let range = units[unit].range
    let mine = shardingPlan.shards[unit][rank].clamped(to: range)
    parameters.discard(range.lowerBound..<mine.lowerBound)
    parameters.discard(mine.upperBound..<range.upperBound)
  }

  public func beginGradient(_ unit: Int) throws {
    guard isFull else { return }
    for unit in window.beginGradient(unit) { try reducer.wait(unit: unit) }
  }

  public func endGradient(_ unit: Int) {
    guard isFull || isLastMicroStep else { return }
    if isFull { peakResidentBytes = max(peakResidentBytes, ResidentMemory.bytes()) }
    trained.complete(units[unit].range, backend: backend)
    reducer.submit(unit: unit)
    if isFull { window.reduceGradient(unit) }
  }

  /// Waits until the gradient sums of this rank's update ranges are complete.
  public func waitForGradients() throws { try reducer.wait() }

  /// Starts gathering the updated parameters with `.optimizer`, in the order of a forward pass; other stages need none.
  public func gatherParameters() {
    if shardingPlan.stage == .optimizer { gatherAll() }
  }

  private func gatherAll() {
    for unit in units.indices { reducer.submitGather(unit: unit) }
  }

  /// Waits until all resident parameters are gathered.
  public func waitForParameters() throws {
    guard !isFull else { return }
    for unit in units.indices { try reducer.waitGather(unit: unit) }
  }

  // MARK: Restoring and export

  /// Gathers the owners' parameters on all ranks where they are resident, after initialising or restoring. Collective.
  public func gatherShards() throws {
    guard !isFull else { return }
    gatherAll()
    try waitForParameters()
  }

  /// Gathers the owners' values of another arena, laid out as `range` of the parameters, on all ranks that hold the
  /// unit. Collective among them; no other operation may be in progress.
  public func gatherShards(_ values: Buffer<Float>, of range: Range<Int>, unit: Int) throws {
    let parts = units[unit].shards.map {
      $0.overlaps(range) ? $0.clamped(to: range) : range.lowerBound..<range.lowerBound
    }
    let layout = RankCounts(counts: parts.map(\.count), offsets: parts.map { $0.lowerBound - range.lowerBound })
    try groups[units[unit].group].allGather(arena: values.pointer, layout: layout)
  }

  /// Visits all parameters in order, in parts, on every rank; the pages that are not resident are freed. Collective.
  public func forEachParameters(_ body: (Buffer<Float>) -> Void) throws {
    let most = 1 << 24
    try waitForParameters()
    for (unit, range) in shardingPlan.layout.units.enumerated() {
      let resident = shardingPlan.resident(unit: unit, by: rank)
      for start in stride(from: range.lowerBound, to: range.upperBound, by: most) {
        let part = start..<min(range.upperBound, start + most)
        let shards = shardingPlan.shards[unit].map {
          $0.overlaps(part) ? $0.clamped(to: part) : part.lowerBound..<part.lowerBound
        }
        let layout = RankCounts(counts: shards.map(\.count), offsets: shards.map { $0.lowerBound - part.lowerBound })
        try groups[0].allGather(arena: parameters.buffer[part].pointer, layout: layout)
        body(parameters.buffer[part])
        let mine = resident.overlaps(part) ? resident.clamped(to: part) : part.lowerBound..<part.lowerBound
        parameters.discard(part.lowerBound..<mine.lowerBound)
        parameters.discard(mine.upperBound..<part.upperBound)
      }
    }
  }
}
