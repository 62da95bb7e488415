import Kernels

/// The mixture-of-experts layer: route, gather by expert, dispatch, one gated feed-forward layer per expert, return,
/// combine. Dropless.
///
/// Rows stand in expert order at both ends of a dispatch: the micro-batch's own rows where its tokens are, and the rows
/// that are computed with where the experts are. A `DispatchPlan.Segment` is one (micro-batch, expert) and one matrix
/// product. Rows that visit are computed with as soon as they are here, because their ranks wait for them; own rows whose
/// experts are here are work until then and while the others travel home, so that ranks need not be level.
extension Decoder {
  private typealias Segments = [DispatchPlan.Segment]

  func expertsForward(_ layer: Int, tokens n: Int, addingTo output: Matrix) throws {
    guard let experts = configuration.experts else { preconditionFailure("a sparse layer without experts") }
    let (hiddenSize, width) = (configuration.hiddenSize, experts.intermediateSize)
    let a = activationLayout.blocks[layer]
    let slots = n * experts.perToken
    let routing = routeForward(layer, tokens: n, experts)
    paceMeter.reachExperts(tokens: n)
    let round = dispatcher.startRound(routing.offsets, pace: paceMeter.pace)
    rounds[layer] = round

    let arrivals = activationLayout.arriving
    let own = rows(activationLayout.slotInputs, slots, hiddenSize)
    let inputs = rows(a.arrivedInputs, arrivals.all, hiddenSize)
    let staying = round.staying
    func gather(_ range: Range<Int>, _ destination: Matrix) {
      compute.gather(hidden(a.middleNormed, n), routing: routing, topK: experts.perToken, range, into: destination)
    }
    for range in [0..<staying.lowerBound, staying.upperBound..<slots] { gather(range, own.rows(range)) }
    let visitors = inputs.rows(staying.count..<arrivals.all)
    let dispatches = (0..<round.chunks).map { dispatcher.startDispatch($0, of: round, from: own, to: visitors) }
    gather(staying, inputs.rows(0..<staying.count))
    try residence.acquire(expertsPiece(layer))
    let lending = startLending(layer, round)

    let gateUp = rows(a.gateUp, arrivals.all, 2 * width)
    let activation = rows(activationLayout.activation, arrivals.all, width)
    let outputs = rows(activationLayout.visitingRows, arrivals.visiting, hiddenSize)
    let returned = rows(activationLayout.slotRows, slots, hiddenSize)
    func feedForward(_ segments: Segments, to outputs: Matrix, _ weights: (Int) -> ExpertMatrices) {
      let start = ContinuousClock.now
      compute.multiply(
        segments.map {
          MatrixProduct(inputs.rows($0.rows), weights($0.expert).gateUp.transposed, into: gateUp.rows($0.rows))
        })
      compute.swiGLU(gateUp.rows(segments.rows), into: activation.rows(segments.rows))
      compute.multiply(
        segments.map {
          MatrixProduct(activation.rows($0.rows), weights($0.expert).down.transposed, into: outputs.rows($0.origin))
        })
      paceMeter.compute(segments.rows.count, since: start)
    }
    let here = { self.expert(layer, $0) }

    var lastReturn = 0
    let rest = try serveVisitors(round, dispatches) {
      feedForward($0, to: returned, here)
    } visiting: { chunk in
      feedForward(round.agreed.visiting[chunk], to: outputs, here)
      lastReturn = dispatcher.startReturn(chunk, of: round, from: outputs, to: returned)
    }
    for segments in rest { feedForward(segments, to: returned, here) }
    if let lending { try dispatcher.wait(for: lending) }
    try residence.release(expertsPiece(layer))
    if let segment = round.agreed.borrowed {
      inputs.rows(segment.rows).copy(from: own.rows(segment.origin))
      feedForward([segment], to: returned) { _ in borrowedExpert }
    }
    try dispatcher.wait(for: lastReturn)
    compute.combine(returned, routing: routing, topK: experts.perToken, weighted: true, addingTo: output)
  }

  /// Overwrites `normedGradient` with the gradient of the normed residual stream; adds the experts' gradients to the
  /// accumulator and leaves the router's in `gradients`.
  func expertsBackward(
    _ layer: Int, tokens n: Int, _ gradient: Matrix, into normedGradient: Matrix, auxiliaryScale: Float,
    accumulator: any GradientSums
  ) throws {
    guard let experts = configuration.experts, let round = rounds[layer] else {
      preconditionFailure("a backward pass through experts without a forward pass")
    }
    let plan = round.agreed
    let (hiddenSize, width) = (configuration.hiddenSize, experts.intermediateSize)
    let a = activationLayout.blocks[layer]
    let slots = n * experts.perToken
    let routing = routing(layer, slots: slots)

    // The layer is linear in the weights, so gradients are taken without them first; the weights' own gradient is then
    // a dot product, and the experts' outputs need not be kept. A row's weight travels in its last column, and the
    // weight's gradient comes back there.
    let arrivals = activationLayout.arriving
    let own = rows(activationLayout.slotRows, slots, hiddenSize + 1)
    let visitors = rows(activationLayout.visitingRows, arrivals.visiting, hiddenSize + 1)
    let results = rows(activationLayout.visitingReturn, arrivals.visiting, hiddenSize + 1)
    let returned = rows(activationLayout.returnedRows, slots, hiddenSize + 1)
    compute.gatherWithWeights(gradient, routing: routing, topK: experts.perToken, into: own)
    let dispatches = (0..<round.chunks).map { dispatcher.startDispatch($0, of: round, from: own, to: visitors) }
    let inputs = rows(a.arrivedInputs, arrivals.all, hiddenSize)
    if !dispatcher.isDistributed {  // otherwise they were kept
      compute.gather(
        hidden(a.middleNormed, n), routing: routing, topK: experts.perToken, into: inputs.rows(0..<slots))
    }
    try residence.acquire(expertsPiece(layer))
    let lending = startLending(layer, round)
    try residence.beginGradient(expertsPiece(layer))

    let gateUp = rows(a.gateUp, arrivals.all, 2 * width)
    let activation = rows(activationLayout.activation, arrivals.all, width)
    let activationGradient = rows(activationLayout.activationGradient, arrivals.all, width)
    let columns = 0..<hiddenSize
    let weightColumn = hiddenSize..<hiddenSize + 1
    func feedForwardBackward(
      _ segments: Segments, from arrived: Matrix, to results: Matrix, _ weights: (Int) -> ExpertMatrices
    ) {
      let (range, origin) = (segments.rows, segments.origin)
      compute.multiply(
        segments.map {
          MatrixProduct(
            arrived.rows($0.origin).columns(columns), weights($0.expert).down, into: activationGradient.rows($0.rows))
        })
      compute.swiGLUBackward(
        outGradient: activationGradient.rows(range), gateUpToGradient: gateUp.rows(range), out: activation.rows(range))
      compute.weightBackward(
        gradient: activationGradient.rows(range), activation: activation.rows(range),
        gateUpGradient: gateUp.rows(range),
        weights: arrived.rows(origin).columns(weightColumn),
        weightGradients: results.rows(origin).columns(weightColumn))
      compute.multiply(
        segments.map {
          MatrixProduct(
            gateUp.rows($0.rows), weights($0.expert).gateUp, into: results.rows($0.origin).columns(columns))
        })
    }
    func weightGradients(_ segments: ArraySlice<DispatchPlan.Segment>, from arrived: Matrix, into memory: Buffer<Float>)
    {
      let size = layout.expertSize
      compute.multiply(
        segments.enumerated().flatMap { place, segment in
          let gradient = expertMatrices(memory[place * size..<(place + 1) * size])
          return [
            MatrixProduct(
              arrived.columns(columns).rows(segment.origin).transposed, activation.rows(segment.rows),
              into: gradient.down),
            MatrixProduct(
              gateUp.rows(segment.rows).transposed, inputs.rows(segment.rows), into: gradient.gateUp),
          ]
        })
    }
    let here = { self.expert(layer, $0) }

    func ownBackward(_ segments: Segments) {
      feedForwardBackward(segments, from: own, to: returned, here)
      addExpertGradients(layer, segments, to: accumulator) { weightGradients($0, from: own, into: $1) }
    }

    var lastReturn = 0
    var rest = try serveVisitors(round, dispatches, own: ownBackward) { chunk in
      feedForwardBackward(plan.visiting[chunk], from: visitors, to: results, here)
      lastReturn = dispatcher.startReturn(chunk, of: round, from: results, to: returned)
      addExpertGradients(layer, plan.visiting[chunk], to: accumulator) {
        weightGradients($0, from: visitors, into: $1)
      }
    }
    if let lending {
      while !dispatcher.isComplete(lending), let part = rest.popFirst() { ownBackward(part) }
      try dispatcher.wait(for: lending)
    }
    if let segment = plan.borrowed {
      feedForwardBackward([segment], from: own, to: returned) { _ in borrowedExpert }
      weightGradients([segment], from: own, into: borrowedMemory)  // over the weights, which are not needed any more
    }
    let lent = startReturningLentGradients(round)
    rest.forEach(ownBackward)
    try residence.release(expertsPiece(layer))
    if let lent { try collectLentGradients(layer, plan, lent, accumulator) }
    try residence.endGradient(expertsPiece(layer))
    try dispatcher.wait(for: lastReturn)
    guard n > 0 else { return }
    let weightGradient = floats.buffer[activationLayout.slotWeightGradient]
    compute.scatter(returned.columns(weightColumn), routing: routing, into: weightGradient)
    routeBackward(
      layer, tokens: n, experts, weightGradient: weightGradient, into: normedGradient, auxiliaryScale: auxiliaryScale)
    compute.combine(
      returned.columns(columns), routing: routing, topK: experts.perToken, weighted: false, addingTo: normedGradient)
  }

  /// Computes with what visits as soon as it has arrived, because others wait for it, and with own rows meanwhile.
  ///
  /// - Returns: the own rows that are left.
  private func serveVisitors(
    _ round: DispatchRound, _ dispatches: [Int], own: (Segments) -> Void, visiting: (_ chunk: Int) throws -> Void
  ) throws -> ArraySlice<Segments> {
    var rest = round.own[...]
    for chunk in 0..<round.chunks {
      while !dispatcher.isComplete(dispatches[chunk]), let part = rest.popFirst() { own(part) }
      try dispatcher.wait(for: dispatches[chunk])
      try visiting(chunk)
    }
    return rest
  }

  /// Adds each segment's weight gradients to the exact sums, as many experts of a micro-batch at a time as the scratch
  /// memory holds. An expert without rows contributes nothing.
  ///
  /// - Parameter weightGradients: writes the gradients of some segments' experts one behind the other.
  private func addExpertGradients(
    _ layer: Int, _ segments: [DispatchPlan.Segment], to accumulator: any GradientSums,
    _ weightGradients: (ArraySlice<DispatchPlan.Segment>, Buffer<Float>) -> Void
  ) {
    let size = layout.expertSize
    let capacity = gradients.count / size
    var rest = segments[...]
    while let first = rest.first {
      // Neighbours in expert number, so that their gradients are one run of the arena.
      var batch = rest.prefix(1)
      while batch.count < capacity, batch.endIndex < rest.endIndex, rest[batch.endIndex].source == first.source,
        rest[batch.endIndex].expert == first.expert + batch.count
      {
        batch = rest[batch.startIndex...batch.endIndex]
      }
      rest = rest[batch.endIndex...]
      weightGradients(batch, gradients.buffer)
      accumulator.add(
        gradients.buffer.prefix(batch.count * size),
        at: layout.experts(first.expert..<first.expert + batch.count, layer: layer), compute: compute)
    }
  }

  // MARK: Lent experts

  private var borrowedMemory: Buffer<Float> { shadows.buffer.prefix(layout.expertSize) }
  private var borrowedExpert: ExpertMatrices { expertMatrices(borrowedMemory) }

  private func startLending(_ layer: Int, _ round: DispatchRound) -> Int? {
    guard dispatcher.lendsExperts else { return nil }
    return dispatcher.startLending(
      round, from: parameters[layout.experts(dispatcher.localExperts, layer: layer)], to: borrowedMemory)
  }

  private var lentMemory: Buffer<Float> { shadows.buffer[layout.expertSize..<shadows.count] }

  private func startReturningLentGradients(_ round: DispatchRound) -> Int? {
    guard dispatcher.lendsExperts else { return nil }
    return dispatcher.startReturningGradient(round, from: borrowedMemory, to: lentMemory)
  }

  /// Adds what borrowers found to the exact sums of the experts that were lent to them.
  private func collectLentGradients(
    _ layer: Int, _ plan: DispatchPlan, _ transfer: Int, _ accumulator: any GradientSums
  ) throws {
    guard !plan.lent.isEmpty else { return }
    try dispatcher.wait(for: transfer)
    let size = layout.expertSize
    for (place, shadow) in plan.lent.enumerated() {
      accumulator.add(
        lentMemory[place * size..<(place + 1) * size],
        at: layout.experts(shadow.expert..<shadow.expert + 1, layer: layer), compute: compute)
    }
  }

  private func expertsPiece(_ layer: Int) -> Int {
    guard let piece = layout.expertsPiece(layer) else { preconditionFailure("a dense layer has no experts") }
    return piece
  }

  private func rows(_ range: Range<Int>, _ rows: Int, _ columns: Int) -> Matrix {
    floats.buffer[range].matrix(rows, columns)
  }

  private typealias ExpertMatrices = (gateUp: Matrix, down: Matrix)

  /// One expert's weights.
  private func expert(_ layer: Int, _ expert: Int) -> ExpertMatrices {
    expertMatrices(parameters[layout.experts(expert..<expert + 1, layer: layer)])
  }

  /// `[2 · intermediate, hidden]` and, behind it, `[hidden, intermediate]`.
  private func expertMatrices(_ memory: Buffer<Float>) -> ExpertMatrices {
    let hiddenSize = configuration.hiddenSize
    let width = layout.expertSize / (3 * hiddenSize)
    let first = 2 * width * hiddenSize
    return (memory[0..<first].matrix(2 * width, hiddenSize), memory[first..<memory.count].matrix(hiddenSize, width))
  }
}
