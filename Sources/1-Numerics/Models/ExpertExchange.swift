public import Kernels

/// Brings the rows of a micro-batch to the experts that they chose, has an ``ExpertLayer`` compute with them, and brings
/// the results back.
///
/// A decoder calls it three times for a layer, in each direction: `dispatch`, `backend`, `collect`. Between the first and the
/// second it makes the layer's experts readable, between the second and the third they may go. Ranks that share the experts
/// of a layer do this together, each with a micro-batch of its own or with none. What one expert computes for one
/// micro-batch stays one piece of arithmetic, wherever that is.
public protocol ExpertExchange: AnyObject {
  /// The experts that are computed here.
  var localExperts: Range<Int> { get }
  /// Whether rows come from, and go to, other ranks.
  var isDistributed: Bool { get }
  /// The most rows that are computed with here when every rank has `rows`.
  func receiveCapacity(of rows: Int) -> ReceiveCapacity
  /// A block's forward pass begins on this rank, with tokens.
  func beginBlock()
  /// Starts to bring own rows to their experts.
  func dispatch(_ pass: ExpertPass)
  /// Computes with the rows whose experts are here.
  func compute(_ pass: ExpertPass) throws
  /// Computes again what of the forward pass was not kept, before a backward pass's `backend`: nothing travels for it.
  func recompute(_ pass: ExpertPass) throws
  /// Returns when all results are where their rows came from: `pass.returned` is complete.
  func collect(_ pass: ExpertPass) throws
}

/// One direction of one expert layer for one micro-batch: its equations and its rows. In the backward pass rows have one
/// more column, for the routing weight and its gradient.
public struct ExpertPass {
  public enum Direction: Sendable { case forward, backward }
  public let direction: Direction
  public let layer: Int
  public let equations: ExpertLayer
  /// `[experts + 1]`: expert e chose the own rows `offsets[e]..<offsets[e + 1]`.
  public let offsets: Buffer<Int32>
  /// This rank's rows, in the order of experts, and what becomes of them: `[slots, columns]`.
  public let own: Matrix
  public let returned: Matrix
  /// Rows of other ranks, and what becomes of them: `[received rows, columns]`. In the forward pass rows are received where
  /// the equations read them, behind the own ones that stay.
  public let received: Matrix
  public let results: Matrix
  /// In the forward pass, writes a range of the own rows.
  public let gather: (_ rows: Range<Int>, _ destination: Matrix) -> Void
}

/// How many rows a rank computes with in an expert layer.
public struct ReceiveCapacity: Sendable {
  /// Own ones, those that visit, and those of a borrowed expert.
  public let all: Int
  /// Those that come from other ranks.
  public let received: Int

  public init(all: Int, received: Int) {
    self.all = all
    self.received = received
  }
}

/// All experts are here: rows stay where they are.
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
