import Kernels
public import Models

/// Expert parallelism: overlaps the computation of an expert layer with token dispatch, return and expert shadowing.
///
/// Own rows are in expert order; received rows are ordered by source, then by expert. Received rows are computed as
/// soon as they arrive, because their ranks wait for them; local rows fill the time until then and while results are
/// returned, so that ranks need not be in step. The order does not change the results: the arithmetic is per segment.
public final class DistributedExperts: ExpertExchange {
  public var localExperts: Range<Int> { dispatcher.localExperts }
  public let isDistributed = true
  private let dispatcher: any TokenDispatcher
  /// `[expert size]` of a hosted expert, its weights and then their gradient, and behind it the gradients of this
  /// rank's shadowed ones; nil without shadowing.
  private let shadows: Arena<Float>?
  private let expertSize: Int
  private var timer = ExpertTimer()
  /// By layer, the dispatch of the last forward pass.
  private var tokenDispatches: [Int: TokenDispatch] = [:]
  /// Whether the layer in progress was recomputed from its rows.
  private var recomputes = false
  // Transfers of the layer in progress.
  private var dispatches: [Int] = []
  private var lastReturn = 0

  /// - Parameters:
  ///   - dispatcher: transfers the rows.
  ///   - expertSize: the number of parameters of an expert.
  public init(_ dispatcher: any TokenDispatcher, expertSize: Int) {
    self.dispatcher = dispatcher
    self.expertSize = expertSize
    shadows = dispatcher.shadowsExperts ? Arena(count: (1 + ExpertShadow.maxShadowed) * expertSize) : nil
  }

  public func receiveCapacity(of rows: Int) -> ReceiveCapacity { dispatcher.receiveCapacity(of: rows) }

  public func beginBlock() { timer.beginBlock() }

  public func dispatch(_ pass: ExpertPass) {
    switch pass.direction {
    case .forward: dispatchInputs(pass)
    case .backward:
      let tokenDispatch = tokenDispatch(pass)
      recomputes = false
      dispatches = (0..<tokenDispatch.chunks).map {
        dispatcher.startDispatch($0, of: tokenDispatch, from: pass.own, to: pass.received)
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
    if pass.direction == .forward, let (shadows, segment) = hosted(pass) {
      pass.equations.inputs.rows(segment.rows).copy(from: pass.own.rows(segment.origin))
      forward(pass, [segment], to: pass.returned, weights: shadows)
    }
    try dispatcher.wait(for: lastReturn)
  }

  private func tokenDispatch(_ pass: ExpertPass) -> TokenDispatch {
    guard let tokenDispatch = tokenDispatches[pass.layer] else {
      preconditionFailure("an expert layer's rows were not dispatched")
    }
    return tokenDispatch
  }

  // MARK: Forward

  /// Gathers the rows to be sent first, and the local rows while the others are in flight.
  private func dispatchInputs(_ pass: ExpertPass) {
    let own = pass.own
    timer.reachExperts(rows: own.rows)
    let tokenDispatch = dispatcher.beginDispatch(pass.offsets, timing: timer.timing)
    tokenDispatches[pass.layer] = tokenDispatch
    let local = tokenDispatch.local
    for range in [0..<local.lowerBound, local.upperBound..<own.rows] { pass.gather(range, own.rows(range)) }
    let inputs = pass.equations.inputs
    let received = inputs.rows(local.count..<inputs.rows)
    dispatches = (0..<tokenDispatch.chunks).map {
      dispatcher.startDispatch($0, of: tokenDispatch, from: own, to: received)
    }
    pass.gather(local, inputs.rows(0..<local.count))
  }

  private func forward(_ pass: ExpertPass) throws {
    let tokenDispatch = tokenDispatch(pass)
    let shadowing = startShadowing(pass, tokenDispatch)
    let rest = try serveReceived(tokenDispatch) {
      forward(pass, $0, to: pass.returned)
    } received: { chunk in
      forward(pass, tokenDispatch.agreed.received[chunk], to: pass.results)
      lastReturn = dispatcher.startReturn(chunk, of: tokenDispatch, from: pass.results, to: pass.returned)
    }
    for segments in rest { forward(pass, segments, to: pass.returned) }
    if let shadowing { try dispatcher.wait(for: shadowing) }
  }

  private func forward(
    _ pass: ExpertPass, _ segments: [ExpertSegment], to outputs: Matrix, weights: Buffer<Float>? = nil
  ) {
    let start = ContinuousClock.now
    pass.equations.forward(segments, to: outputs, weights: weights)
    timer.compute(segments.rows.count, since: start)
  }

  // MARK: Backward

  /// Recomputes local and received rows, which are kept; the rows of a hosted expert follow when its weights arrive.
  public func recompute(_ pass: ExpertPass) {
    recomputes = true
    let tokenDispatch = tokenDispatch(pass)
    pass.equations.recompute((tokenDispatch.own + tokenDispatch.agreed.received).flatMap(\.self))
  }

  private func backward(_ pass: ExpertPass) throws {
    let equations = pass.equations
    let tokenDispatch = tokenDispatch(pass)
    let shadowing = startShadowing(pass, tokenDispatch)
    func ownBackward(_ segments: [ExpertSegment]) {
      equations.backward(segments, from: pass.own, to: pass.returned)
      equations.addWeightGradients(segments, from: pass.own)
    }
    var rest = try serveReceived(tokenDispatch, own: ownBackward) { chunk in
      let segments = tokenDispatch.agreed.received[chunk]
      equations.backward(segments, from: pass.received, to: pass.results)
      lastReturn = dispatcher.startReturn(chunk, of: tokenDispatch, from: pass.results, to: pass.returned)
      equations.addWeightGradients(segments, from: pass.received)
    }
    if let shadowing {
      while !dispatcher.isComplete(shadowing), let part = rest.popFirst() { ownBackward(part) }
      try dispatcher.wait(for: shadowing)
    }
    if let (hosted, segment) = hosted(pass) {
      if recomputes { equations.recompute([segment], weights: hosted) }
      equations.backward([segment], from: pass.own, to: pass.returned, weights: hosted)
      // Overwrites the weights, which are not needed any more.
      equations.weightGradients([segment], from: pass.own, into: hosted)
    }
    let shadowed = startReturningShadowGradients(tokenDispatch)
    rest.forEach(ownBackward)
    if let shadowed { try addShadowGradients(equations, tokenDispatch.agreed, shadowed) }
  }

  /// Computes received rows as soon as they arrive, because their ranks wait for them, and local rows meanwhile.
  ///
  /// - Returns: the local rows that are left.
  private func serveReceived(
    _ tokenDispatch: TokenDispatch, own: ([ExpertSegment]) -> Void, received: (_ chunk: Int) throws -> Void
  ) throws -> ArraySlice<[ExpertSegment]> {
    var rest = tokenDispatch.own[...]
    for chunk in 0..<tokenDispatch.chunks {
      while !dispatcher.isComplete(dispatches[chunk]), let part = rest.popFirst() { own(part) }
      try dispatcher.wait(for: dispatches[chunk])
      try received(chunk)
    }
    return rest
  }

  // MARK: Shadowed experts

  private func hosted(_ pass: ExpertPass) -> (memory: Buffer<Float>, segment: ExpertSegment)? {
    guard let shadows, let segment = tokenDispatch(pass).agreed.hosted else { return nil }
    return (shadows.buffer.prefix(expertSize), segment)
  }

  private func startShadowing(_ pass: ExpertPass, _ tokenDispatch: TokenDispatch) -> Int? {
    shadows.map {
      dispatcher.startShadowing(
        tokenDispatch, from: pass.equations.weights(of: localExperts), to: $0.buffer.prefix(expertSize))
    }
  }

  private func startReturningShadowGradients(_ tokenDispatch: TokenDispatch) -> Int? {
    shadows.map {
      dispatcher.startReturningShadowGradient(
        tokenDispatch, from: $0.buffer.prefix(expertSize), to: $0.buffer[expertSize..<$0.count])
    }
  }

  /// Adds the hosts' gradients of this rank's shadowed experts to the exact sums.
  private func addShadowGradients(_ equations: ExpertLayer, _ plan: DispatchPlan, _ transfer: Int) throws {
    guard let shadows, !plan.shadowed.isEmpty else { return }
    try dispatcher.wait(for: transfer)
    for (place, shadow) in plan.shadowed.enumerated() {
      let gradient = shadows.buffer[(place + 1) * expertSize..<(place + 2) * expertSize]
      equations.add(gradient, ofExperts: shadow.expert..<shadow.expert + 1)
    }
  }
}
