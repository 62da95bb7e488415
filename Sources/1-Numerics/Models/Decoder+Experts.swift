import Batches
import Kernels

/// The mixture-of-experts layer, dropless: route, permute by expert, dispatch, one gated feed-forward network per
/// expert, combine.
extension Decoder {
  /// Routes the tokens of the normed residual stream and starts to dispatch their rows to the experts.
  func dispatchForward(_ layer: Int, _ batch: TokenBatch) {
    routeForward(layer, tokens: batch.tokenCount, experts)
    exchange.dispatch(expertPass(.forward, layer, batch))
  }

  func expertsForward(_ layer: Int, _ batch: TokenBatch) throws {
    try exchange.compute(expertPass(.forward, layer, batch))
  }

  /// Adds the experts' outputs, times the routing weights, to the residual stream.
  func combineForward(_ layer: Int, _ batch: TokenBatch) throws {
    let pass = expertPass(.forward, layer, batch)
    try exchange.collect(pass)
    backend.combine(
      pass.returned, routing: routing(layer, slots: pass.own.rows), topK: experts.perToken, weighted: true,
      addingTo: input(ofLayer: layer + 1, batch.tokenCount))
  }

  /// Dispatches the gradient of the layer's output to the experts. The last column of a row holds its routing weight,
  /// and returns with the weight's gradient.
  func dispatchBackward(_ layer: Int, _ batch: TokenBatch, _ gradients: Pass.Gradients) {
    let pass = expertPass(.backward, layer, batch, gradients)
    backend.gatherWithWeights(
      hidden(activationLayout.gradient, batch.tokenCount), routing: routing(layer, slots: pass.own.rows),
      topK: experts.perToken, into: pass.own)
    exchange.dispatch(pass)
  }

  /// Recomputes what `expertsForward` did not keep.
  func expertsRecompute(_ layer: Int, _ batch: TokenBatch, _ gradients: Pass.Gradients) throws {
    try exchange.recompute(expertPass(.backward, layer, batch, gradients))
  }

  /// Computes the experts' backward pass and accumulates their gradients into the exact sums.
  func expertsBackward(_ layer: Int, _ batch: TokenBatch, _ gradients: Pass.Gradients) throws {
    try exchange.compute(expertPass(.backward, layer, batch, gradients))
  }

  /// Overwrites the gradient of the normed residual stream, and leaves the router's gradient in `gradients`.
  func combineBackward(_ layer: Int, _ batch: TokenBatch, _ gradients: Pass.Gradients) throws {
    let pass = expertPass(.backward, layer, batch, gradients)
    try exchange.collect(pass)
    let n = batch.tokenCount
    guard n > 0 else { return }
    let routing = routing(layer, slots: pass.own.rows)
    let normedGradient = hidden(activationLayout.hiddenScratch, n)
    let columns = configuration.hiddenSize
    let weightGradient = floats.buffer[activationLayout.slotWeightGradient]
    backend.scatter(pass.returned.columns(columns..<columns + 1), routing: routing, into: weightGradient)
    routeBackward(
      layer, tokens: n, experts, weightGradient: weightGradient, into: normedGradient,
      auxiliaryScale: gradients.auxiliaryScale)
    backend.combine(
      pass.returned.columns(0..<columns), routing: routing, topK: experts.perToken, weighted: false,
      addingTo: normedGradient)
  }

  /// The operands of one direction of an expert layer: its equations and views of its rows.
  private func expertPass(
    _ direction: ExpertPass.Direction, _ layer: Int, _ batch: TokenBatch, _ sums: Pass.Gradients? = nil
  ) -> ExpertPass {
    let n = batch.tokenCount
    let a = activationLayout.blocks[layer]
    let (hiddenSize, width) = (configuration.hiddenSize, experts.intermediateSize)
    let slots = n * experts.perToken
    let receiveCapacity = activationLayout.capacity
    func rows(_ range: Range<Int>, _ rows: Int, _ columns: Int) -> Matrix {
      floats.buffer[range].matrix(rows, columns)
    }
    let equations = ExpertLayer(
      backend: backend, layout: layout, layer: layer, parameters: parameters, packedWeights: packedWeights,
      inputs: rows(a.receivedInputs, receiveCapacity.all, hiddenSize),
      gateUp: rows(a.gateUp, receiveCapacity.all, 2 * width),
      activation: rows(activationLayout.activation, receiveCapacity.all, width),
      activationGradient: rows(activationLayout.activationGradient, sums == nil ? 0 : receiveCapacity.all, width),
      gradients: gradients.buffer, accumulator: sums?.accumulator)
    let routing = routing(layer, slots: slots)
    let isForward = direction == .forward
    let columns = isForward ? hiddenSize : hiddenSize + 1
    return ExpertPass(
      direction: direction, layer: layer, equations: equations, offsets: routing.offsets,
      own: rows(isForward ? activationLayout.slotInputs : activationLayout.slotRows, slots, columns),
      returned: rows(isForward ? activationLayout.slotRows : activationLayout.returnedRows, slots, columns),
      received: isForward
        ? equations.inputs : rows(activationLayout.receivedRows, receiveCapacity.received, columns),
      results: rows(
        isForward ? activationLayout.receivedRows : activationLayout.receivedReturn, receiveCapacity.received, columns)
    ) { [backend, experts] range, destination in
      backend.gather(
        self.hidden(a.middleNormed, n), routing: routing, topK: experts.perToken, range, into: destination)
    }
  }

  private var experts: ModelConfiguration.Experts {
    guard let experts = configuration.experts else { preconditionFailure("a sparse layer without experts") }
    return experts
  }
}
