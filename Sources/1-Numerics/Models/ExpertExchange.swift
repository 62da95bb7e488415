public import Kernels

/// Token dispatch of an expert layer: sends the rows of a micro-batch to their experts, runs an ``ExpertLayer`` on
/// them, and returns the results.
///
/// A decoder calls `dispatch`, `compute` and `collect` for a layer, in each direction. It unshards the layer's experts
/// between the first and the second, and reshards them between the second and the third. Ranks that share the experts
/// of a layer call them together, each with a micro-batch of its own or an empty one. An expert's rows of one
/// micro-batch are one matrix product on any rank.
public protocol ExpertExchange: AnyObject {
  /// The experts whose parameters this rank computes with.
  var localExperts: Range<Int> { get }
  /// Whether rows are sent to other ranks.
  var isDistributed: Bool { get }
  /// The max rows of an expert layer on this rank when every rank has `rows`.
  func receiveCapacity(of rows: Int) -> ReceiveCapacity
  /// Called at the start of a block's forward pass with tokens, for timing.
  func beginBlock()
  /// Starts to send local rows to their experts.
  func dispatch(_ pass: ExpertPass)
  /// Computes the rows of the local experts.
  func compute(_ pass: ExpertPass) throws
  /// Recomputes what the forward pass did not keep, before a backward pass's `compute`, without communication.
  func recompute(_ pass: ExpertPass) throws
  /// Waits until all results have returned to the ranks of their rows: `pass.returned` is complete.
  func collect(_ pass: ExpertPass) throws
}

/// One direction of an expert layer for one micro-batch: its equations and its rows. In the backward pass rows have one
/// more column, for the routing weight and its gradient.
public struct ExpertPass {
  public enum Direction: Sendable { case forward, backward }
  public let direction: Direction
  public let layer: Int
  public let equations: ExpertLayer
  /// `[experts + 1]`: the local rows `offsets[e]..<offsets[e + 1]` are for expert e.
  public let offsets: Buffer<Int32>
  /// This rank's rows in expert order, and their results: `[slots, columns]`.
  public let own: Matrix
  public let returned: Matrix
  /// Rows received from other ranks, and their results: `[received rows, columns]`. In the forward pass rows are
  /// received in `equations.inputs`, behind the local ones.
  public let received: Matrix
  public let results: Matrix
  /// Gathers a range of this rank's rows, in expert order, from the normed residual stream.
  public let gather: (_ rows: Range<Int>, _ destination: Matrix) -> Void
}

/// The receive capacity of an expert layer: max rows on one rank.
public struct ReceiveCapacity: Sendable {
  /// Local rows, received rows, and those of a shadowed expert hosted here.
  public let all: Int
  /// Rows received from other ranks.
  public let received: Int

  public init(all: Int, received: Int) {
    self.all = all
    self.received = received
  }
}

/// The exchange without expert parallelism: all experts are local.
public final class LocalExperts: ExpertExchange {
  public let localExperts: Range<Int>
  public let isDistributed = false

  public init(count: Int) { localExperts = 0..<count }

  public func receiveCapacity(of rows: Int) -> ReceiveCapacity { ReceiveCapacity(all: rows, received: 0) }

  public func beginBlock() {}

  /// The equations' inputs are scratch that all layers share, so a backward pass gathers them again.
  public func dispatch(_ pass: ExpertPass) {
    let rows = 0..<pass.own.rows
    pass.gather(rows, pass.equations.inputs.rows(rows))
  }

  public func compute(_ pass: ExpertPass) {
    let segments = segments(pass.offsets)
    switch pass.direction {
    case .forward: pass.equations.forward(segments, to: pass.returned)
    case .backward:
      pass.equations.backward(segments, from: pass.own, to: pass.returned)
      pass.equations.addWeightGradients(segments, from: pass.own)
    }
  }

  public func recompute(_ pass: ExpertPass) { pass.equations.recompute(segments(pass.offsets)) }

  public func collect(_ pass: ExpertPass) {}

  private func segments(_ offsets: Buffer<Int32>) -> [ExpertSegment] {
    localExperts.compactMap { expert in
      let rows = Int(offsets[expert])..<Int(offsets[expert + 1])
      return rows.isEmpty ? nil : ExpertSegment(expert: expert, source: 0, rows: rows, origin: rows)
    }
  }
}
