import Kernels
import MPI
public import Models
public import Sharding
import Support

/// Brings pieces of the parameters to where they are computed with, and their gradients to where they are owned.
///
/// With `ZeROStage.none` and `.optimizer` all that a rank computes with stays here; the last round of a step hands
/// each finished gradient to the reducer, and updated parameters arrive behind the next forward pass. With `.full` a rank
/// keeps what it owns: every unit is gathered just before it is used, the next one of the pass is prefetched meanwhile,
/// and memory is given back when a pass is done with it; gradients are reduced in every round.
public final class ShardedParameters: ParameterSharding {
  public let shardingPlan: ShardingPlan
  /// Among the ranks that the parameters are spread over.
  public let rank: Int
  /// All ranks of the job, those that compute the same thing included.
  let world: Communicator
  /// The ranks that the parameters are spread over, and those that hold the same experts.
  let groups: [Communicator]
  private let units: [ExchangedUnit]
  private let reducer: ExactGradientReducer
  private let parameters: Arena<Float>
  private let accumulator: FixedPointGradientAccumulator?
  private let backend: Backend

  private var isLastMicroStep = false
  /// With full sharding, what is here for a moment.
  private var window = UnitWindow()
  /// The most memory that this process was seen to hold, bytes; measured where a fully sharded pass holds most.
  public private(set) var peakResidentBytes = 0

  /// Collective.
  ///
  /// - Parameters:
  ///   - mesh: its batch group is what the parameters are spread over; along its data axis are those with the same experts.
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
    for run in shardingPlan.residentRuns(by: rank) {  // the rest is not used, or not always
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

  /// The time that computation has waited for parameters and sums, seconds.
  public var exposedCommunicationSeconds: Double { reducer.exposedCommunicationSeconds }

  /// This rank's owned ranges, by unit.
  public var shards: [Range<Int>] { shardingPlan.shards.map { $0[rank] } }
  /// The ranges whose parameters and gradient sums this rank keeps between steps, by unit.
  public var resident: [Range<Int>] { units.indices.map { shardingPlan.resident(unit: $0, by: rank) } }
  /// The ranges that this rank updates, by unit.
  public var updateRange: [Range<Int>] { units.indices.map { shardingPlan.updateRange(unit: $0, by: rank) } }

  /// What a member of one of the groups owns of what the group holds.
  func shards(by member: Int, inGroup group: Int) -> [Range<Int>] {
    units.filter { $0.group == group }.map { $0.shards[member] }
  }

  func holdsUnits(inGroup group: Int) -> Bool { units.contains { $0.group == group } }

  private var trained: FixedPointGradientAccumulator {
    guard let accumulator else { preconditionFailure("frozen parameters have no gradients") }
    return accumulator
  }

  /// With full sharding, the units whose parameters are here or on their way.
  public var unshardedUnits: Set<Int> { window.unsharded }

  // MARK: A step

  /// Begins the sums of a step.
  public func zeroGradients() {
    // What a fully sharded pass gives back to the kernel reads as zero.
    if isFull { trained.reset(resident, backend: backend) } else { trained.restart() }
  }

  /// Announces a pass of all ranks, each with a micro-batch or without.
  ///
  /// - Parameters:
  ///   - schedule: that the pass will follow.
  ///   - last: whether it is the step's last, whose gradients are final.
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

  /// Returns when the gradient sums of what this rank updates are complete.
  public func waitForGradients() throws { try reducer.wait() }

  /// Starts bringing what every rank has updated to where it is computed with, in the order of a forward pass.
  public func gatherParameters() {
    if shardingPlan.stage == .optimizer { gatherAll() }
  }

  private func gatherAll() {
    for unit in units.indices { reducer.submitGather(unit: unit) }
  }

  /// Returns when all parameters that this rank keeps are here.
  public func waitForParameters() throws {
    guard !isFull else { return }
    for unit in units.indices { try reducer.waitGather(unit: unit) }
  }

  // MARK: Beginning and end

  /// Brings the owners' parameters to all who keep them, after a start or a restart. Collective.
  public func gatherShards() throws {
    guard !isFull else { return }
    gatherAll()
    try waitForParameters()
  }

  /// Brings the owners' values of other arenas, laid out as `range` of the parameters is, to all who hold that range.
  /// Collective among them; nothing may be under way.
  public func gatherShards(_ values: Buffer<Float>, of range: Range<Int>, unit: Int) throws {
    let parts = units[unit].shards.map {
      $0.overlaps(range) ? $0.clamped(to: range) : range.lowerBound..<range.lowerBound
    }
    let layout = RankCounts(counts: parts.map(\.count), offsets: parts.map { $0.lowerBound - range.lowerBound })
    try groups[units[unit].group].allGather(arena: values.pointer, layout: layout)
  }

  /// Visits all parameters in order, some at a time, on every rank; what it does not keep is let go. Collective.
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
