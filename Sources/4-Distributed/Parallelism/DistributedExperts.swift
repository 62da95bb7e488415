import Kernels
public import Models

/// Expert parallelism: in what order a rank computes with the rows of an expert layer, and which experts it lends.
///
/// Rows stand in expert order at both ends of a dispatch. Rows that were received are computed with as soon as they are
/// here, because their ranks wait for them; own rows whose experts are here are work until then and while the others travel
/// home, so that ranks need not be level. The order leaves no trace in the numbers: a segment is one piece of arithmetic.
public final class DistributedExperts: ExpertExchange {
  public var localExperts: Range<Int> { dispatcher.localExperts }
  public let isDistributed = true
  private let dispatcher: any TokenDispatcher
  /// `[expert size]` of a borrowed expert, its weights and then their gradient, and behind it the gradients of lent ones;
  /// nil when no experts are lent.
  private let shadows: Arena<Float>?
  private let expertSize: Int
  private var meter = PaceMeter()
  /// By layer, the last forward pass's round.
  private var rounds: [Int: DispatchRound] = [:]
  /// Whether the layer in progress keeps nothing of its forward pass but its rows.
  private var recomputes = false
  // Transfers of the layer in progress.
  private var dispatches: [Int] = []
  private var lastReturn = 0

  /// - Parameters:
  ///   - dispatcher: moves the rows.
  ///   - expertSize: parameters of an expert.
  public init(_ dispatcher: any TokenDispatcher, expertSize: Int) {
    self.dispatcher = dispatcher
    self.expertSize = expertSize
    shadows = dispatcher.lendsExperts ? Arena(count: (1 + ExpertShadow.mostLent) * expertSize) : nil
  }

  public func arrivals(of rows: Int) -> ArrivingRows { dispatcher.arrivals(of: rows) }

  public func beginBlock() { meter.beginBlock() }

  public func dispatch(_ pass: ExpertPass) {
    switch pass.direction {
    case .forward: dispatchInputs(pass)
    case .backward:
      let round = round(pass)
      recomputes = false
      dispatches = (0..<round.chunks).map {
        dispatcher.startDispatch($0, of: round, from: pass.own, to: pass.received)
      }
    }
  }

  public func compute(_ pass: ExpertPass) throws {
    switch pass.direction {
    case .forward: try forward(pass)
    case .backward: try backward(pass)
    }
  }

  public func collect(_ pass: ExpertPass) throws {
    if pass.direction == .forward, let (shadows, segment) = borrowed(pass) {
      pass.equations.inputs.rows(segment.rows).copy(from: pass.own.rows(segment.origin))
      forward(pass, [segment], to: pass.returned, weights: shadows)
    }
    try dispatcher.wait(for: lastReturn)
  }

  private func round(_ pass: ExpertPass) -> DispatchRound {
    guard let round = rounds[pass.layer] else { preconditionFailure("an expert layer's rows were not dispatched") }
    return round
  }

  // MARK: Forward

  /// Rows that leave are gathered first; those that stay are gathered while the others travel.
  private func dispatchInputs(_ pass: ExpertPass) {
    let own = pass.own
    meter.reachExperts(rows: own.rows)
    let round = dispatcher.startRound(pass.offsets, pace: meter.pace)
    rounds[pass.layer] = round
    let staying = round.staying
    for range in [0..<staying.lowerBound, staying.upperBound..<own.rows] { pass.gather(range, own.rows(range)) }
    let inputs = pass.equations.inputs
    let received = inputs.rows(staying.count..<inputs.rows)
    dispatches = (0..<round.chunks).map { dispatcher.startDispatch($0, of: round, from: own, to: received) }
    pass.gather(staying, inputs.rows(0..<staying.count))
  }

  private func forward(_ pass: ExpertPass) throws {
    let round = round(pass)
    let lending = startLending(pass, round)
    let rest = try serveReceived(round) {
      forward(pass, $0, to: pass.returned)
    } received: { chunk in
      forward(pass, round.agreed.visiting[chunk], to: pass.results)
      lastReturn = dispatcher.startReturn(chunk, of: round, from: pass.results, to: pass.returned)
    }
    for segments in rest { forward(pass, segments, to: pass.returned) }
    if let lending { try dispatcher.wait(for: lending) }
  }

  private func forward(
    _ pass: ExpertPass, _ segments: [ExpertSegment], to outputs: Matrix, weights: Buffer<Float>? = nil
  ) {
    let start = ContinuousClock.now
    pass.equations.forward(segments, to: outputs, weights: weights)
    meter.compute(segments.rows.count, since: start)
  }

  // MARK: Backward

  /// All rows are still here, own ones and received ones; a borrowed expert's weights come later.
  public func recompute(_ pass: ExpertPass) {
    recomputes = true
    let round = round(pass)
    pass.equations.recompute((round.own + round.agreed.visiting).flatMap(\.self))
  }

  private func backward(_ pass: ExpertPass) throws {
    let equations = pass.equations
    let round = round(pass)
    let lending = startLending(pass, round)
    func ownBackward(_ segments: [ExpertSegment]) {
      equations.backward(segments, from: pass.own, to: pass.returned)
      equations.addWeightGradients(segments, from: pass.own)
    }
    var rest = try serveReceived(round, own: ownBackward) { chunk in
      let segments = round.agreed.visiting[chunk]
      equations.backward(segments, from: pass.received, to: pass.results)
      lastReturn = dispatcher.startReturn(chunk, of: round, from: pass.results, to: pass.returned)
      equations.addWeightGradients(segments, from: pass.received)
    }
    if let lending {
      while !dispatcher.isComplete(lending), let part = rest.popFirst() { ownBackward(part) }
      try dispatcher.wait(for: lending)
    }
    if let (borrowed, segment) = borrowed(pass) {
      if recomputes { equations.recompute([segment], weights: borrowed) }
      equations.backward([segment], from: pass.own, to: pass.returned, weights: borrowed)
      // Over the weights, which are not needed any more.
      equations.weightGradients([segment], from: pass.own, into: borrowed)
    }
    let lent = startReturningGradients(round)
    rest.forEach(ownBackward)
    if let lent { try addLentGradients(equations, round.agreed, lent) }
  }

  /// Computes with what was received as soon as it is here, because others wait for it, and with own rows meanwhile.
  ///
  /// - Returns: the own rows that are left.
  private func serveReceived(
    _ round: DispatchRound, own: ([ExpertSegment]) -> Void, received: (_ chunk: Int) throws -> Void
  ) throws -> ArraySlice<[ExpertSegment]> {
    var rest = round.own[...]
    for chunk in 0..<round.chunks {
      while !dispatcher.isComplete(dispatches[chunk]), let part = rest.popFirst() { own(part) }
      try dispatcher.wait(for: dispatches[chunk])
      try received(chunk)
    }
    return rest
  }

  // MARK: Lent experts

  private func borrowed(_ pass: ExpertPass) -> (memory: Buffer<Float>, segment: ExpertSegment)? {
    guard let shadows, let segment = round(pass).agreed.borrowed else { return nil }
    return (shadows.buffer.prefix(expertSize), segment)
  }

  private func startLending(_ pass: ExpertPass, _ round: DispatchRound) -> Int? {
    shadows.map {
      dispatcher.startLending(
        round, from: pass.equations.weights(of: localExperts), to: $0.buffer.prefix(expertSize))
    }
  }

  private func startReturningGradients(_ round: DispatchRound) -> Int? {
    shadows.map {
      dispatcher.startReturningGradient(
        round, from: $0.buffer.prefix(expertSize), to: $0.buffer[expertSize..<$0.count])
    }
  }

  /// Adds what borrowers found to the exact sums of the experts that were lent to them.
  private func addLentGradients(_ equations: ExpertLayer, _ plan: DispatchPlan, _ transfer: Int) throws {
    guard let shadows, !plan.lent.isEmpty else { return }
    try dispatcher.wait(for: transfer)
    for (place, shadow) in plan.lent.enumerated() {
      let gradient = shadows.buffer[(place + 1) * expertSize..<(place + 2) * expertSize]
      equations.add(gradient, ofExperts: shadow.expert..<shadow.expert + 1)
    }
  }
}
