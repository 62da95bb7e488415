import Kernels

/// The mixture-of-experts layer: route, gather by expert, dispatch, one gated feed-forward layer per expert, combine.
/// Dropless.
extension Decoder {
  /// Chooses experts for the tokens of the normed residual stream and sends its rows to them.
  func dispatchForward(_ layer: Int, tokens n: Int) {
    let experts = experts
    _ = routeForward(layer, tokens: n, experts)
    exchange.dispatch(expertPass(.forward, layer, tokens: n))
  }

  func expertsForward(_ layer: Int, tokens n: Int) throws {
    try exchange.compute(expertPass(.forward, layer, tokens: n))
  }

  /// Adds what the experts have made of every token's rows, weighted, to `output`.
  func combineForward(_ layer: Int, tokens n: Int, addingTo output: Matrix) throws {
    let pass = expertPass(.forward, layer, tokens: n)
    try exchange.collect(pass)
    compute.combine(
      pass.returned, routing: routing(layer, slots: pass.own.rows), topK: experts.perToken, weighted: true,
      addingTo: output)
  }

  /// Sends the gradient of the layer's output to the experts. A row's routing weight travels in its last column, and the
  /// weight's gradient comes back there.
  func dispatchBackward(_ layer: Int, tokens n: Int, _ gradient: Matrix, accumulator: any GradientSums) {
    let pass = expertPass(.backward, layer, tokens: n, accumulator)
    compute.gatherWithWeights(
      gradient, routing: routing(layer, slots: pass.own.rows), topK: experts.perToken, into: pass.own)
    exchange.dispatch(pass)
  }

  /// Adds the experts' gradients to the accumulator.
  func expertsBackward(_ layer: Int, tokens n: Int, accumulator: any GradientSums) throws {
    try exchange.compute(expertPass(.backward, layer, tokens: n, accumulator))
  }

  /// Overwrites `normedGradient` with the gradient of the normed residual stream, and leaves the router's in `gradients`.
  func combineBackward(
    _ layer: Int, tokens n: Int, into normedGradient: Matrix, auxiliaryScale: Float, accumulator: any GradientSums
  ) throws {
    let pass = expertPass(.backward, layer, tokens: n, accumulator)
    try exchange.collect(pass)
    guard n > 0 else { return }
    let routing = routing(layer, slots: pass.own.rows)
    let columns = configuration.hiddenSize
    let weightGradient = floats.buffer[activationLayout.slotWeightGradient]
    compute.scatter(pass.returned.columns(columns..<columns + 1), routing: routing, into: weightGradient)
    routeBackward(
      layer, tokens: n, experts, weightGradient: weightGradient, into: normedGradient, auxiliaryScale: auxiliaryScale)
    compute.combine(
      pass.returned.columns(0..<columns), routing: routing, topK: experts.perToken, weighted: false,
      addingTo: normedGradient)
  }

  /// Where the rows of one direction of a layer are, and with what they are computed.
  private func expertPass(
    _ direction: ExpertPass.Direction, _ layer: Int, tokens n: Int, _ accumulator: (any GradientSums)? = nil
  ) -> ExpertPass {
    let a = activationLayout.blocks[layer]
    let (hiddenSize, width) = (configuration.hiddenSize, experts.intermediateSize)
    let slots = n * experts.perToken
    let arrivals = activationLayout.arriving
    func rows(_ range: Range<Int>, _ rows: Int, _ columns: Int) -> Matrix {
      floats.buffer[range].matrix(rows, columns)
    }
    let equations = ExpertLayer(
      compute: compute, layout: layout, layer: layer, parameters: parameters,
      inputs: rows(a.arrivedInputs, arrivals.all, hiddenSize), gateUp: rows(a.gateUp, arrivals.all, 2 * width),
      activation: rows(activationLayout.activation, arrivals.all, width),
      activationGradient: rows(activationLayout.activationGradient, accumulator == nil ? 0 : arrivals.all, width),
      gradients: gradients.buffer, accumulator: accumulator)
    let routing = routing(layer, slots: slots)
    let isForward = direction == .forward
    let columns = isForward ? hiddenSize : hiddenSize + 1
    return ExpertPass(
      direction: direction, layer: layer, equations: equations, offsets: routing.offsets,
      own: rows(isForward ? activationLayout.slotInputs : activationLayout.slotRows, slots, columns),
      returned: rows(isForward ? activationLayout.slotRows : activationLayout.returnedRows, slots, columns),
      received: isForward
        ? equations.inputs : rows(activationLayout.visitingRows, arrivals.visiting, columns),
      results: rows(
        isForward ? activationLayout.visitingRows : activationLayout.visitingReturn, arrivals.visiting, columns)
    ) { [compute, experts] range, destination in
      compute.gather(
        self.hidden(a.middleNormed, n), routing: routing, topK: experts.perToken, range, into: destination)
    }
  }

  private var experts: ModelConfiguration.Experts {
    guard let experts = configuration.experts else { preconditionFailure("a sparse layer without experts") }
    return experts
  }
}
