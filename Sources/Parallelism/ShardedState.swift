import Kernels
import MPI
public import Models
public import Placement

/// Brings pieces of the parameters to where they are computed with, and their gradients to where they are owned.
///
/// With `StateSharding.none` and `.optimizer` all that a rank computes with stays here; the last round of a step hands
/// each finished gradient to the reducer, and updated parameters arrive behind the next forward pass. With `.full` a rank
/// keeps what it owns: every piece is gathered just before it is used, the next one of the pass is prefetched meanwhile,
/// and memory is given back when a pass is done with it; gradients are reduced in every round.
public final class ShardedState: ParameterResidence {
  public let placement: StatePlacement
  public let rank: Int
  private let world: Communicator
  /// All ranks, and those that hold the same experts.
  let groups: [Communicator]
  private let pieces: [ExchangedPiece]
  private let reducer: ExactGradientReducer
  private let parameters: Arena<Float>
  private let accumulator: GradientAccumulator?
  private let compute: Compute

  // The acquisitions of the round in progress, and how many there were.
  private var schedule: [Int] = []
  private var position = 0
  private var isLastRound = false
  // With full sharding, the last two pieces whose gradients were handed over.
  private var handedOver: (last: Int?, before: Int?)
  // By piece, with full sharding: whether it is here or on its way.
  private var isGathered: [Bool]
  /// The most memory that this process was seen to hold, bytes; measured where a fully sharded pass holds most.
  public private(set) var peakResidentBytes = 0

  /// Collective.
  ///
  /// - Parameters:
  ///   - mesh: all ranks, and along its data axis those that hold the same experts.
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
    let rank = world.rank
    self.rank = rank
    groups = [mesh.world, mesh[.data]]
    pieces = placement.layout.pieces.indices.map { piece in
      ExchangedPiece(
        group: placement.isExperts(piece) ? 1 : 0, range: placement.computed(piece: piece, by: rank),
        owned: placement.holders(piece: piece, of: rank).map { placement.owned[piece][$0] })
    }
    for run in placement.keptRuns(by: rank) {  // the rest is not used, or not always
      parameters.useHugePages(in: run)
      accumulator?.memory.useHugePages(in: run)
    }
    handedOver = (nil, nil)
    isGathered = Array(repeating: false, count: pieces.count)
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

  // MARK: A step

  /// Begins the sums of a step.
  public func beginSums() {
    // What a fully sharded pass gives back to the kernel reads as zero.
    if isFull { trained.reset(kept, compute: compute) } else { trained.restart() }
  }

  /// Announces a pass of all ranks, each with a micro-batch or without.
  ///
  /// - Parameters:
  ///   - training: false for a forward pass only.
  ///   - last: whether it is the step's last, whose gradients are final.
  public func beginRound(training: Bool, last: Bool) {
    isLastRound = last
    position = 0
    guard isFull else { return }
    let layout = placement.layout
    func block(_ layer: Int) -> [Int] { [layout.blockPiece(layer)] + [layout.expertsPiece(layer)].compactMap(\.self) }
    let layers = layout.blocks.indices
    schedule = [layout.embeddingPiece] + layers.flatMap(block) + [layout.headPiece]
    if training { schedule += layers.reversed().flatMap(block) }
  }

  public func acquire(_ piece: Int) throws {
    if isFull {
      gather(piece)
      position += 1
      if position < schedule.count { gather(schedule[position]) }
    }
    try reducer.waitGather(piece: piece)
  }

  private func gather(_ piece: Int) {
    guard !isGathered[piece] else { return }
    isGathered[piece] = true
    reducer.submitGather(piece: piece)
  }

  public func release(_ piece: Int) {
    guard isFull else { return }
    isGathered[piece] = false
    let range = pieces[piece].range
    let mine = placement.owned[piece][rank].clamped(to: range)
    parameters.discard(range.lowerBound..<mine.lowerBound)
    parameters.discard(mine.upperBound..<range.upperBound)
  }

  public func beginGradient(_ piece: Int) throws {
    guard isFull else { return }
    try reducer.wait(piece: piece)
    // One piece may be on its way while the next is written; with more, a slow network would fill the memory.
    if let before = handedOver.before { try reducer.wait(piece: before) }
  }

  public func endGradient(_ piece: Int) {
    guard isFull || isLastRound else { return }
    if isFull { peakResidentBytes = max(peakResidentBytes, ResidentMemory.bytes()) }
    trained.complete(pieces[piece].range, compute: compute)
    reducer.submit(piece: piece)
    handedOver = (piece, handedOver.last)
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
        try world.allGather(arena: parameters.buffer[part].pointer, layout: layout)
        body(parameters.buffer[part])
        let mine = kept.overlaps(part) ? kept.clamped(to: part) : part.lowerBound..<part.lowerBound
        parameters.discard(part.lowerBound..<mine.lowerBound)
        parameters.discard(mine.upperBound..<part.upperBound)
      }
    }
  }
}
