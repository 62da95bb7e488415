import Kernels

/// The mixture-of-experts layer: route, gather by expert, dispatch, one gated feed-forward layer per expert, return,
/// combine. Dropless.
///
/// Rows stand in expert order at both ends of a dispatch: the micro-batch's own rows where its tokens are, and the rows
/// that arrive where the experts are. A `DispatchPlan.Segment` is one (micro-batch, expert) and one matrix product.
extension Decoder {
  func expertsForward(_ layer: Int, tokens n: Int, addingTo output: Matrix) throws {
    guard let experts = configuration.experts else { preconditionFailure("a sparse layer without experts") }
    let (hiddenSize, width) = (configuration.hiddenSize, experts.intermediateSize)
    let a = activationLayout.blocks[layer]
    let slots = n * experts.perToken
    let routing = routeForward(layer, tokens: n, experts)
    let plan = try dispatcher.plan(routing.offsets)
    plans[layer] = plan

    let own = rows(activationLayout.slotInputs, slots, hiddenSize)
    compute.gather(hidden(a.middleNormed, n), routing: routing, topK: experts.perToken, into: own)
    let inputs = rows(a.arrivedInputs, plan.arriving, hiddenSize)
    let dispatches = (0..<plan.chunks).map { dispatcher.startDispatch($0, of: plan, from: own, to: inputs) }
    try residence.acquire(expertsPiece(layer))
    let lending = startLending(layer, plan)

    let gateUp = rows(a.gateUp, plan.arriving, 2 * width)
    let activation = rows(activationLayout.activation, plan.arriving, width)
    let outputs = rows(activationLayout.arrivedRows, plan.arriving, hiddenSize)
    let returned = rows(activationLayout.slotRows, slots, hiddenSize)
    func feedForward(_ segments: [DispatchPlan.Segment], _ range: Range<Int>, _ weights: (Int) -> ExpertMatrices) {
      compute.multiply(
        segments.map {
          MatrixProduct(inputs.rows($0.rows), weights($0.expert).gateUp.transposed, into: gateUp.rows($0.rows))
        })
      compute.swiGLU(gateUp.rows(range), into: activation.rows(range))
      compute.multiply(
        segments.map {
          MatrixProduct(activation.rows($0.rows), weights($0.expert).down.transposed, into: outputs.rows($0.rows))
        })
    }
    var lastReturn = 0
    for chunk in 0..<plan.chunks {
      try dispatcher.wait(for: dispatches[chunk])
      feedForward(plan.segments[chunk], plan.rows[chunk]) { expert(layer, $0) }
      lastReturn = dispatcher.startReturn(chunk, of: plan, from: outputs, to: returned)
    }
    if let lending { try dispatcher.wait(for: lending) }
    try residence.release(expertsPiece(layer))
    if let (segment, ownRows) = plan.borrowed {
      inputs.rows(segment.rows).copy(from: own.rows(ownRows))
      feedForward([segment], segment.rows) { _ in borrowedExpert }
      returned.rows(ownRows).copy(from: outputs.rows(segment.rows))
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
    guard let experts = configuration.experts, let plan = plans[layer] else {
      preconditionFailure("a backward pass through experts without a forward pass")
    }
    let (hiddenSize, width) = (configuration.hiddenSize, experts.intermediateSize)
    let a = activationLayout.blocks[layer]
    let slots = n * experts.perToken
    let routing = routing(layer, slots: slots)

    // The layer is linear in the weights, so gradients are taken without them first; the weights' own gradient is then
    // a dot product, and the experts' outputs need not be kept. A row's weight travels in its last column, and the
    // weight's gradient comes back there.
    let own = rows(activationLayout.slotRows, slots, hiddenSize + 1)
    let arrived = rows(activationLayout.arrivedRows, plan.arriving, hiddenSize + 1)
    let results = rows(activationLayout.arrivedReturn, plan.arriving, hiddenSize + 1)
    let returned = rows(activationLayout.returnedRows, slots, hiddenSize + 1)
    compute.gatherWithWeights(gradient, routing: routing, topK: experts.perToken, into: own)
    let dispatches = (0..<plan.chunks).map { dispatcher.startDispatch($0, of: plan, from: own, to: arrived) }
    let inputs = rows(a.arrivedInputs, plan.arriving, hiddenSize)
    if !dispatcher.isDistributed {  // what others sent was kept
      compute.gather(hidden(a.middleNormed, n), routing: routing, topK: experts.perToken, into: inputs)
    }
    try residence.acquire(expertsPiece(layer))
    let lending = startLending(layer, plan)
    try residence.beginGradient(expertsPiece(layer))

    let gateUp = rows(a.gateUp, plan.arriving, 2 * width)
    let activation = rows(activationLayout.activation, plan.arriving, width)
    let activationGradient = rows(activationLayout.activationGradient, plan.arriving, width)
    let columns = 0..<hiddenSize
    let weightColumn = hiddenSize..<hiddenSize + 1
    func feedForwardBackward(
      _ segments: [DispatchPlan.Segment], _ range: Range<Int>, _ weights: (Int) -> ExpertMatrices
    ) {
      compute.multiply(
        segments.map {
          MatrixProduct(
            arrived.rows($0.rows).columns(columns), weights($0.expert).down, into: activationGradient.rows($0.rows))
        })
      compute.swiGLUBackward(
        outGradient: activationGradient.rows(range), gateUpToGradient: gateUp.rows(range), out: activation.rows(range))
      compute.weightBackward(
        gradient: activationGradient.rows(range), activation: activation.rows(range),
        gateUpGradient: gateUp.rows(range),
        weights: arrived.rows(range).columns(weightColumn), weightGradients: results.rows(range).columns(weightColumn))
      compute.multiply(
        segments.map {
          MatrixProduct(
            gateUp.rows($0.rows), weights($0.expert).gateUp, into: results.rows($0.rows).columns(columns))
        })
    }
    func weightGradients(_ segments: ArraySlice<DispatchPlan.Segment>, into memory: Buffer<Float>) {
      let size = layout.expertSize
      compute.multiply(
        segments.enumerated().flatMap { place, segment in
          let gradient = expertMatrices(memory[place * size..<(place + 1) * size])
          return [
            MatrixProduct(
              arrived.columns(columns).rows(segment.rows).transposed, activation.rows(segment.rows),
              into: gradient.down),
            MatrixProduct(
              gateUp.rows(segment.rows).transposed, inputs.rows(segment.rows), into: gradient.gateUp),
          ]
        })
    }
    var lastReturn = 0
    for chunk in 0..<plan.chunks {
      try dispatcher.wait(for: dispatches[chunk])
      feedForwardBackward(plan.segments[chunk], plan.rows[chunk]) { expert(layer, $0) }
      lastReturn = dispatcher.startReturn(chunk, of: plan, from: results, to: returned)
      // The experts' own gradients, while the rows travel.
      addExpertGradients(layer, plan.segments[chunk], to: accumulator, weightGradients)
    }
    if let lending { try dispatcher.wait(for: lending) }
    try residence.release(expertsPiece(layer))
    if let (segment, ownRows) = plan.borrowed {
      arrived.rows(segment.rows).copy(from: own.rows(ownRows))
      feedForwardBackward([segment], segment.rows) { _ in borrowedExpert }
      returned.rows(ownRows).copy(from: results.rows(segment.rows))
      weightGradients([segment], into: borrowedMemory)  // over the weights, which are not needed any more
    }
    try collectLentGradients(layer, plan, accumulator)
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

  private func startLending(_ layer: Int, _ plan: DispatchPlan) -> Int? {
    guard !plan.shadows.isEmpty else { return nil }
    return dispatcher.startLending(
      plan, from: parameters[layout.experts(dispatcher.localExperts, layer: layer)], to: borrowedMemory)
  }

  /// Adds what borrowers found to the exact sums of the experts that were lent to them.
  private func collectLentGradients(_ layer: Int, _ plan: DispatchPlan, _ accumulator: any GradientSums) throws {
    guard !plan.shadows.isEmpty else { return }
    let size = layout.expertSize
    let lent = shadows.buffer[size..<shadows.count]
    let transfer = dispatcher.startReturningGradient(plan, from: borrowedMemory, to: lent)
    guard !plan.lent.isEmpty else { return }
    try dispatcher.wait(for: transfer)
    for (place, shadow) in plan.lent.enumerated() {
      accumulator.add(
        lent[place * size..<(place + 1) * size],
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
