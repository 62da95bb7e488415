import Support
import Kernels
import MPI
public import Models
public import Sharding

/// Brings pieces of the parameters to where they are computed with, and their gradients to where they are owned.
///
/// With `StateSharding.none` and `.optimizer` all that a rank computes with stays here; the last round of a step hands
/// each finished gradient to the reducer, and updated parameters arrive behind the next forward pass. With `.full` a rank
/// keeps what it owns: every piece is gathered just before it is used, the next one of the pass is prefetched meanwhile,
/// and memory is given back when a pass is done with it; gradients are reduced in every round.
public final class ShardedState: ParameterResidence {
  public let placement: StatePlacement
  /// Among the ranks that the parameters are spread over.
  public let rank: Int
  /// All ranks of the job, those that compute the same thing included.
  let world: Communicator
  /// The ranks that the parameters are spread over, and those that hold the same experts.
  let groups: [Communicator]
  private let pieces: [ExchangedPiece]
  private let reducer: ExactGradientReducer
  private let parameters: Arena<Float>
  private let accumulator: GradientAccumulator?
  private let compute: Compute

  private var isLastRound = false
  /// With full sharding, what is here for a moment.
  private var window = PieceWindow()
  /// The most memory that this process was seen to hold, bytes; measured where a fully sharded pass holds most.
  public private(set) var peakResidentBytes = 0

  /// Collective.
  ///
  /// - Parameters:
  ///   - mesh: its batch group is what the parameters are spread over; along its data axis are those with the same experts.
  ///   - parameters, accumulator: `[layout.count]`; without an accumulator the parameters are frozen.
  /// - Throws: `MPIError`.
  public init(
    placement: StatePlacement, mesh: ProcessMesh, parameters: Arena<Float>, accumulator: GradientAccumulator?,
    compute: Compute
  ) throws {
    self.placement = placement
    self.parameters = parameters
    self.accumulator = accumulator
    self.compute = compute
    world = mesh.world
    let rank = mesh.batch.rank
    self.rank = rank
    groups = [mesh.batch, mesh[.data]]
    pieces = placement.layout.pieces.indices.map { piece in
      ExchangedPiece(
        group: placement.isExperts(piece) ? 1 : 0, range: placement.computed(piece: piece, by: rank),
        owned: placement.holders(piece: piece, of: rank).map { placement.owned[piece][$0] })
    }
    for run in placement.keptRuns(by: rank) {  // the rest is not used, or not always
      parameters.useHugePages(in: run)
      accumulator?.memory.useHugePages(in: run)
    }
    let remainder: ExactGradientReducer.Remainder =
      switch placement.sharding {
      case .none: .gather
      case .optimizer: .keep
      case .full: .discard
      }
    reducer = try ExactGradientReducer(
      groups: groups, pieces: pieces, gradient: accumulator?.memory ?? Arena(count: 0), parameters: parameters,
      remainder: remainder)
  }

  private var isFull: Bool { placement.sharding == .full }

  /// The time that computation has waited for parameters and sums, seconds.
  public var exposedSeconds: Double { reducer.exposedSeconds }

  /// This rank's owned ranges, by piece.
  public var owned: [Range<Int>] { placement.owned.map { $0[rank] } }
  /// The ranges whose parameters and gradient sums this rank keeps between steps, by piece.
  public var kept: [Range<Int>] { pieces.indices.map { placement.kept(piece: $0, by: rank) } }
  /// The ranges that this rank updates, by piece.
  public var updated: [Range<Int>] { pieces.indices.map { placement.updated(piece: $0, by: rank) } }

  /// What a member of one of the groups owns of what the group holds.
  func owned(by member: Int, inGroup group: Int) -> [Range<Int>] {
    pieces.filter { $0.group == group }.map { $0.owned[member] }
  }

  func holdsPieces(inGroup group: Int) -> Bool { pieces.contains { $0.group == group } }

  private var trained: GradientAccumulator {
    guard let accumulator else { preconditionFailure("frozen parameters have no gradients") }
    return accumulator
  }

  /// With full sharding, the pieces whose parameters are here or on their way.
  public var unshardedPieces: Set<Int> { window.unsharded }

  // MARK: A step

  /// Begins the sums of a step.
  public func beginSums() {
    // What a fully sharded pass gives back to the kernel reads as zero.
    if isFull { trained.reset(kept, compute: compute) } else { trained.restart() }
  }

  /// Announces a pass of all ranks, each with a micro-batch or without.
  ///
  /// - Parameters:
  ///   - schedule: that the pass will follow.
  ///   - last: whether it is the step's last, whose gradients are final.
  public func beginRound(_ schedule: PassSchedule, last: Bool) {
    isLastRound = last
    if isFull { window.begin(schedule) }
  }

  public func acquire(_ piece: Int) throws {
    if isFull { for piece in window.unshard(piece) { reducer.submitGather(piece: piece) } }
    try reducer.waitGather(piece: piece)
  }

  public func release(_ piece: Int) {
    guard isFull else { return }
    window.reshard(piece)
    let range = pieces[piece].range
    let mine = placement.owned[piece][rank].clamped(to: range)
    parameters.discard(range.lowerBound..<mine.lowerBound)
    parameters.discard(mine.upperBound..<range.upperBound)
  }

  public func beginGradient(_ piece: Int) throws {
    guard isFull else { return }
    for piece in window.beginGradient(piece) { try reducer.wait(piece: piece) }
  }

  public func endGradient(_ piece: Int) {
    guard isFull || isLastRound else { return }
    if isFull { peakResidentBytes = max(peakResidentBytes, ResidentMemory.bytes()) }
    trained.complete(pieces[piece].range, compute: compute)
    reducer.submit(piece: piece)
    if isFull { window.reduceGradient(piece) }
  }

  /// Returns when the gradient sums of what this rank updates are complete.
  public func waitForSums() throws { try reducer.wait() }

  /// Starts bringing what every rank has updated to where it is computed with, in the order of a forward pass.
  public func gatherUpdated() {
    if placement.sharding == .optimizer { gatherAll() }
  }

  private func gatherAll() {
    for piece in pieces.indices { reducer.submitGather(piece: piece) }
  }

  /// Returns when all parameters that this rank keeps are here.
  public func waitForParameters() throws {
    guard !isFull else { return }
    for piece in pieces.indices { try reducer.waitGather(piece: piece) }
  }

  // MARK: Beginning and end

  /// Brings the owners' parameters to all who keep them, after a start or a restart. Collective.
  public func gatherOwned() throws {
    guard !isFull else { return }
    gatherAll()
    try waitForParameters()
  }

  /// Brings the owners' values of other arenas, laid out as `range` of the parameters is, to all who hold that range.
  /// Collective among them; nothing may be under way.
  public func gatherOwned(_ values: Buffer<Float>, of range: Range<Int>, piece: Int) throws {
    let parts = pieces[piece].owned.map {
      $0.overlaps(range) ? $0.clamped(to: range) : range.lowerBound..<range.lowerBound
    }
    let layout = Layout(counts: parts.map(\.count), offsets: parts.map { $0.lowerBound - range.lowerBound })
    try groups[pieces[piece].group].allGather(arena: values.pointer, layout: layout)
  }

  /// Visits all parameters in order, some at a time, on every rank; what it does not keep is let go. Collective.
  public func forEachParameters(_ body: (Buffer<Float>) -> Void) throws {
    let most = 1 << 24
    try waitForParameters()
    for (piece, range) in placement.layout.pieces.enumerated() {
      let kept = placement.kept(piece: piece, by: rank)
      for start in stride(from: range.lowerBound, to: range.upperBound, by: most) {
        let part = start..<min(range.upperBound, start + most)
        let owned = placement.owned[piece].map {
          $0.overlaps(part) ? $0.clamped(to: part) : part.lowerBound..<part.lowerBound
        }
        let layout = Layout(counts: owned.map(\.count), offsets: owned.map { $0.lowerBound - part.lowerBound })
        try groups[0].allGather(arena: parameters.buffer[part].pointer, layout: layout)
        body(parameters.buffer[part])
        let mine = kept.overlaps(part) ? kept.clamped(to: part) : part.lowerBound..<part.lowerBound
        parameters.discard(part.lowerBound..<mine.lowerBound)
        parameters.discard(mine.upperBound..<part.upperBound)
      }
    }
  }
}
