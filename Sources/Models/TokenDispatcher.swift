import Kernels

/// Brings the rows of a micro-batch to the experts that they chose, and what becomes of them back.
///
/// Ranks that share the experts of a layer work in rounds, each with a micro-batch of its own or with none: everybody
/// sends rows to the owners of their experts, computes with what arrived, and sends it back. What one expert computes for
/// one micro-batch stays one piece of arithmetic wherever that is. Rows travel in chunks, so that one chunk's experts can
/// work while another is on its way.
///
/// Transfers are started in order and waited for by their number. A matrix in transfer must not be touched until then.
public protocol TokenDispatcher: AnyObject {
  /// The experts that are computed here.
  var localExperts: Range<Int> { get }
  /// Whether rows come from, and go to, other ranks; otherwise both ends of a transfer are the same memory.
  var isDistributed: Bool { get }
  /// The largest number of rows that arrive when every rank of the round sends `rows`.
  func arrivals(of rows: Int) -> Int
  /// Tells all ranks of the round who sends how much to whom. Collective.
  ///
  /// - Parameter offsets: `[experts + 1]`: expert e chose the own rows `offsets[e]..<offsets[e + 1]`.
  func plan(_ offsets: Buffer<Int32>) throws -> DispatchPlan
  /// Starts to bring the own rows of a chunk, `[own rows, columns]`, to their experts, `[arriving rows, columns]`.
  func startDispatch(_ chunk: Int, of plan: DispatchPlan, from own: Matrix, to arriving: Matrix) -> Int
  /// Starts to bring a chunk's rows back to where they came from.
  func startReturn(_ chunk: Int, of plan: DispatchPlan, from arrived: Matrix, to own: Matrix) -> Int
  /// Whether plans may have shadows; the decoder then keeps memory for borrowed experts.
  var lendsExperts: Bool { get }
  /// Starts to bring the weights of a plan's shadows to their borrowers. Collective, for a plan with shadows.
  ///
  /// - Parameters:
  ///   - experts: `[local experts, expert size]`, of the layer.
  ///   - borrowed: `[expert size]`
  func startLending(_ plan: DispatchPlan, from experts: Buffer<Float>, to borrowed: Buffer<Float>) -> Int
  /// Starts to bring the gradients of a plan's shadows to their lenders. Collective, for a plan with shadows.
  ///
  /// - Parameters:
  ///   - borrowed: `[expert size]`
  ///   - lent: `[most lent, expert size]`, in the order of `plan.lent`.
  func startReturningGradient(_ plan: DispatchPlan, from borrowed: Buffer<Float>, to lent: Buffer<Float>) -> Int
  /// Returns when this transfer, and all before it, are complete.
  func wait(for transfer: Int) throws
}

/// Who sends how many rows to whom in one round.
public struct DispatchPlan: Sendable {
  /// The rows of one micro-batch for one expert: one piece of arithmetic.
  public struct Segment: Sendable, Equatable {
    public let expert: Int
    /// The rank, in the group that shares the experts, whose micro-batch it is.
    public let source: Int
    /// Of the rows that arrive.
    public let rows: Range<Int>
  }

  /// By chunk, the rows that arrive for it, ordered by source, then by expert; there are no empty segments.
  public let segments: [[Segment]]
  /// By chunk, the rows that arrive; chunks lie one behind the other, and behind them what a shadow computes with.
  public let rows: [Range<Int>]
  /// By chunk and rank of the group, the own rows that it gets, and the arriving rows that come from it.
  public let outgoing: [[Range<Int>]]
  public let incoming: [[Range<Int>]]

  /// Experts that are computed with elsewhere than where they are, of all ranks.
  public let shadows: [ExpertShadow]
  /// What this rank computes with a borrowed expert, and which of its own rows they are.
  public let borrowed: (segment: Segment, ownRows: Range<Int>)?
  /// Experts that this rank lends, one for each borrower, in the order of their gradients.
  public let lent: [ExpertShadow]

  /// The most rows that any rank of the group sends or gets.
  public let largest: Int

  public var chunks: Int { segments.count }
  /// Rows that are computed with here.
  public let arriving: Int

  /// - Parameters:
  ///   - counts: `[ranks][experts]`: how many rows of each rank's micro-batch chose each expert.
  ///   - experts: by rank, the experts that it computes: consecutive ranges that cover all of them.
  ///   - chunks: into how many parts each rank's experts are cut.
  ///   - fewestRows: that lending an expert must take off a rank; nil when none are lent.
  public init(counts: [[Int]], experts: [Range<Int>], rank: Int, chunks: Int, fewestRows: Int? = nil) {
    let shadows =
      fewestRows.map { ExpertShadow.choose(counts: counts, experts: experts, chunks: chunks, fewestRows: $0) } ?? []
    func isShadowed(_ expert: Int, _ source: Int) -> Bool {
      shadows.contains { $0.expert == expert && $0.borrower == source }
    }
    let mine = counts[rank]
    var offsets = [0]
    for count in mine { offsets.append(offsets[offsets.count - 1] + count) }
    var segments: [[Segment]] = []
    var rows: [Range<Int>] = []
    var incoming: [[Range<Int>]] = []
    var next = 0
    for chunk in 0..<chunks {
      let start = next
      let local = Self.part(chunk, of: experts[rank], parts: chunks)
      var arriving: [Segment] = []
      var sources: [Range<Int>] = []
      for source in counts.indices {
        let first = next
        for expert in local where counts[source][expert] > 0 && !isShadowed(expert, source) {
          arriving.append(Segment(expert: expert, source: source, rows: next..<next + counts[source][expert]))
          next += counts[source][expert]
        }
        sources.append(first..<next)
      }
      segments.append(arriving)
      rows.append(start..<next)
      incoming.append(sources)
    }
    borrowed = shadows.first { $0.borrower == rank }.map { shadow in
      let count = mine[shadow.expert]
      let segment = Segment(expert: shadow.expert, source: rank, rows: next..<next + count)
      return (segment, offsets[shadow.expert]..<offsets[shadow.expert + 1])
    }
    arriving = next + (borrowed?.segment.rows.count ?? 0)
    lent = shadows.filter { $0.lender == rank }
    self.shadows = shadows
    // Not fewer than travel with shadows.
    let arrivals = experts.map { experts in counts.reduce(0) { $0 + $1[experts].reduce(0, +) } }
    largest = max(arrivals.max() ?? 0, counts.map { $0.reduce(0, +) }.max() ?? 0)
    self.segments = segments
    self.rows = rows
    self.incoming = incoming
    outgoing = (0..<chunks).map { chunk in
      experts.map { experts in
        var part = Self.part(chunk, of: experts, parts: chunks)
        if let first = part.first, isShadowed(first, rank) { part.removeFirst() }
        if let last = part.last, isShadowed(last, rank) { part.removeLast() }
        return offsets[part.lowerBound]..<offsets[part.upperBound]
      }
    }
  }

  /// Part `index` of a range that is cut into `parts` of about the same size.
  public static func part(_ index: Int, of range: Range<Int>, parts: Int) -> Range<Int> {
    range.lowerBound + index * range.count / parts..<range.lowerBound + (index + 1) * range.count / parts
  }
}

/// All experts are here: rows stay where they are.
public final class LocalDispatcher: TokenDispatcher {
  public let localExperts: Range<Int>
  public let isDistributed = false

  public init(experts: Int) { localExperts = 0..<experts }

  public func arrivals(of rows: Int) -> Int { rows }

  public func plan(_ offsets: Buffer<Int32>) -> DispatchPlan {
    let counts = localExperts.map { Int(offsets[$0 + 1] - offsets[$0]) }
    return DispatchPlan(counts: [counts], experts: [localExperts], rank: 0, chunks: 1)
  }

  public func startDispatch(_ chunk: Int, of plan: DispatchPlan, from own: Matrix, to arriving: Matrix) -> Int {
    precondition(own.base == arriving.base, "rows that stay are in one place")
    return 0
  }

  public func startReturn(_ chunk: Int, of plan: DispatchPlan, from arrived: Matrix, to own: Matrix) -> Int {
    precondition(arrived.base == own.base, "rows that stay are in one place")
    return 0
  }

  public let lendsExperts = false

  public func startLending(_ plan: DispatchPlan, from experts: Buffer<Float>, to borrowed: Buffer<Float>) -> Int {
    preconditionFailure("a single rank borrows nothing")
  }

  public func startReturningGradient(
    _ plan: DispatchPlan, from borrowed: Buffer<Float>, to lent: Buffer<Float>
  ) -> Int {
    preconditionFailure("a single rank borrows nothing")
  }

  public func wait(for transfer: Int) {}
}
