import Kernels

/// The router of a mixture-of-experts layer: top-k expert selection, routing weights, and the auxiliary losses that
/// balance the load.
extension Decoder {
  /// The routing of a layer, as the last forward pass left it.
  func routing(_ layer: Int, slots: Int) -> Routing {
    let a = activationLayout.blocks[layer]
    return Routing(
      experts: integers.buffer[a.slotExperts].prefix(slots), weights: floats.buffer[a.slotWeights].prefix(slots),
      permutation: integers.buffer[a.permutation].prefix(slots),
      inversePermutation: integers.buffer[a.inversePermutation].prefix(slots),
      offsets: integers.buffer[a.expertOffsets])
  }

  private func scores(_ layer: Int, _ tokens: Int, _ experts: ModelConfiguration.Experts) -> Matrix {
    floats.buffer[activationLayout.blocks[layer].scores].matrix(tokens, experts.count)
  }

  /// Selects the experts of every token of the normed residual stream.
  func routeForward(_ layer: Int, tokens n: Int, _ experts: ModelConfiguration.Experts) {
    let a = activationLayout.blocks[layer]
    let routing = routing(layer, slots: n * experts.perToken)
    guard n > 0 else { return routing.offsets.fill(0) }
    let p = layout.blocks[layer]
    let logits = scores(layer, n, experts)
    let router = linearWeight(p.router, experts.count, configuration.hiddenSize)
    backend.multiply(MatrixProduct(hidden(a.middleNormed, n), router, into: logits))
    backend.route(
      logits, router: experts.router, topK: experts.perToken,
      expertBias: p.expertBias.isEmpty ? nil : parameters[p.expertBias],
      normaliser: floats.buffer[a.scoreNormaliser], into: routing)
  }

  /// Computes the gradients of the router and of the normed residual stream, which is overwritten, from the gradients
  /// of the routing weights, `[slots]`, and the auxiliary losses. The expert bias has no gradient; its update follows
  /// the load.
  func routeBackward(
    _ layer: Int, tokens n: Int, _ experts: ModelConfiguration.Experts, weightGradient: Buffer<Float>,
    into normedGradient: Matrix, auxiliaryScale: Float
  ) {
    let a = activationLayout.blocks[layer]
    let p = layout.blocks[layer]
    let logits = scores(layer, n, experts)
    let normalisation = auxiliaryScale / Float(n * configuration.sparseLayerCount)
    var balance: Buffer<Float>?
    if experts.balancing.loadCoefficient != 0 {
      balance = loadGradient(layer, tokens: n, experts, scale: normalisation)
    }
    backend.routeBackward(
      logits, router: experts.router, topK: experts.perToken,
      routing: routing(layer, slots: n * experts.perToken), weightGradient: weightGradient, balance: balance,
      zScale: experts.balancing.zCoefficient * normalisation, normaliser: floats.buffer[a.scoreNormaliser])
    backend.multiply(
      MatrixProduct(
        logits.transposed, hidden(a.middleNormed, n),
        into: gradientBuffer(p.router, layer).matrix(experts.count, configuration.hiddenSize)))
    backend.multiply(
      MatrixProduct(
        logits, parameters[p.router].matrix(experts.count, configuration.hiddenSize), into: normedGradient))
    if !p.expertBias.isEmpty { gradientBuffer(p.expertBias, layer).fill(0) }
  }

  // MARK: Load balancing

  /// Tokens that went to each expert of a sparse layer in the last forward pass, `[experts]`.
  func expertLoads(layer: Int) -> [Int] {
    guard let experts = configuration.experts, configuration.sparseLayers[layer] else { return [] }
    let routing = routing(layer, slots: 0)
    return (0..<experts.count).map { routing.rows(ofExpert: $0).count }
  }

  /// The loads of all sparse layers in the last forward pass, `[sparse layers · experts]`.
  var expertLoads: [Int] { (0..<configuration.layers).flatMap { expertLoads(layer: $0) } }

  /// The loads that the load-balancing loss multiplies with a layer's probabilities: its own, or the mean over sparse
  /// layers.
  private func measuredLoads(_ layer: Int, _ experts: ModelConfiguration.Experts) -> [Float] {
    if experts.balancing.scope == .layer { return expertLoads(layer: layer).map(Float.init) }
    var sums = Array(repeating: 0, count: experts.count)
    for layer in 0..<configuration.layers where configuration.sparseLayers[layer] {
      for (expert, load) in expertLoads(layer: layer).enumerated() { sums[expert] += load }
    }
    return sums.map { Float($0) / Float(configuration.sparseLayerCount) }
  }

  /// The gradient of the load-balancing loss: ∂loss/∂P[t, e] = coefficient · E · f_e / (tokens · layers ·
  /// micro-batches), the same for every token of the layer.
  private func loadGradient(
    _ layer: Int, tokens: Int, _ experts: ModelConfiguration.Experts, scale: Float
  ) -> Buffer<Float> {
    let balance = floats.buffer[activationLayout.balance]
    let factor = experts.balancing.loadCoefficient * Float(experts.count) * scale / Float(tokens)
    for (expert, load) in measuredLoads(layer, experts).enumerated() { balance[expert] = factor * load }
    return balance
  }

  /// The auxiliary losses of the micro-batch (load balancing and z), fixed point; 0 when both are off.
  func balancingLoss(tokens n: Int, of microBatches: Int) -> Int64? {
    guard let experts = configuration.experts,
      experts.balancing.loadCoefficient != 0 || experts.balancing.zCoefficient != 0, configuration.sparseLayerCount > 0
    else { return 0 }
    var total = 0.0
    let sums = floats.buffer[activationLayout.balance]
    for layer in 0..<configuration.layers where configuration.sparseLayers[layer] {
      let normaliser = floats.buffer[activationLayout.blocks[layer].scoreNormaliser]
      backend.sumProbabilities(scores(layer, n, experts), router: experts.router, normaliser: normaliser, into: sums)
      let loads = measuredLoads(layer, experts)
      let product = (0..<experts.count).reduce(0.0) { $0 + Double(loads[$1]) * Double(sums[$1]) }
      total += Double(experts.balancing.loadCoefficient) * Double(experts.count) * product / Double(n * n)
      if experts.balancing.zCoefficient == 0 { continue }
      let squares = (0..<n).reduce(0.0) { $0 + Double(normaliser[$1]) * Double(normaliser[$1]) }
      total += Double(experts.balancing.zCoefficient) * squares / Double(n)
    }
    return LossFixedPoint.encode(Float(total / Double(configuration.sparseLayerCount)), of: microBatches)
  }
}
