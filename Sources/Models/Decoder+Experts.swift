import Kernels

/// The mixture-of-experts layer: route, gather by expert, one gated feed-forward layer per expert, combine. Dropless.
extension Decoder {
  private func routing(_ layer: Int, slots: Int) -> Routing {
    let a = activationLayout.blocks[layer]
    return Routing(
      experts: integers.buffer[a.slotExperts].prefix(slots), weights: floats.buffer[a.slotWeights].prefix(slots),
      rowOfSlot: integers.buffer[a.rowOfSlot].prefix(slots), slotOfRow: integers.buffer[a.slotOfRow].prefix(slots),
      offsets: integers.buffer[a.expertOffsets])
  }

  private func probabilities(_ layer: Int, _ tokens: Int, _ experts: ModelConfiguration.Experts) -> Matrix {
    floats.buffer[activationLayout.blocks[layer].probabilities].matrix(tokens, experts.count)
  }

  /// One product per expert, on that expert's rows and its slice of `weights`.
  private func multiplyByExpert(
    _ routing: Routing, _ count: Int, _ product: (_ expert: Int, Range<Int>) -> MatrixProduct
  ) {
    compute.multiply((0..<count).map { product($0, routing.rows(ofExpert: $0)) })
  }

  func expertsForward(_ layer: Int, tokens n: Int, addingTo output: Matrix) {
    guard let experts = configuration.experts else { preconditionFailure("a sparse layer without experts") }
    let (hiddenSize, width) = (configuration.hiddenSize, experts.intermediateSize)
    let a = activationLayout.blocks[layer]
    let p = layout.blocks[layer]
    let slots = n * experts.perToken
    let routing = routing(layer, slots: slots)
    let normed = hidden(a.middleNormed, n)
    let logits = probabilities(layer, n, experts)
    compute.multiply(
      MatrixProduct(normed, parameters[p.router].matrix(experts.count, hiddenSize).transposed, into: logits))
    compute.route(
      logits, topK: experts.perToken, renormalise: experts.renormalise, logSumExp: floats.buffer[a.routerLogSumExp],
      into: routing)

    let inputs = floats.buffer[activationLayout.slotInputs].matrix(slots, hiddenSize)
    let gateUp = floats.buffer[a.gateUp].matrix(slots, 2 * width)
    let activation = floats.buffer[activationLayout.activation].matrix(slots, width)
    let outputs = floats.buffer[activationLayout.slotRows].matrix(slots, hiddenSize)
    compute.gather(normed, routing: routing, topK: experts.perToken, into: inputs)
    multiplyByExpert(routing, experts.count) { expert, rows in
      MatrixProduct(
        inputs.rows(rows), expertMatrix(p.gateUp, expert, 2 * width, hiddenSize).transposed, into: gateUp.rows(rows))
    }
    compute.swiGLU(gateUp, into: activation)
    multiplyByExpert(routing, experts.count) { expert, rows in
      MatrixProduct(
        activation.rows(rows), expertMatrix(p.down, expert, hiddenSize, width).transposed, into: outputs.rows(rows))
    }
    compute.combine(outputs, routing: routing, topK: experts.perToken, weighted: true, addingTo: output)
  }

  func expertsBackward(
    _ layer: Int, tokens n: Int, _ gradient: Matrix, into normedGradient: Matrix, auxiliaryScale: Float
  ) {
    guard let experts = configuration.experts else { preconditionFailure("a sparse layer without experts") }
    let (hiddenSize, width) = (configuration.hiddenSize, experts.intermediateSize)
    let a = activationLayout.blocks[layer]
    let p = layout.blocks[layer]
    let slots = n * experts.perToken
    let routing = routing(layer, slots: slots)
    let normed = hidden(a.middleNormed, n)
    let inputs = floats.buffer[activationLayout.slotInputs].matrix(slots, hiddenSize)
    let gateUp = floats.buffer[a.gateUp].matrix(slots, 2 * width)
    let activation = floats.buffer[activationLayout.activation].matrix(slots, width)
    let activationGradient = floats.buffer[activationLayout.activationGradient].matrix(slots, width)
    let rows = floats.buffer[activationLayout.slotRows].matrix(slots, hiddenSize)
    let weightGradient = floats.buffer[activationLayout.slotWeightGradient]

    // The layer is linear in the weights, so gradients are taken without them first; the weights' own gradient is then
    // a dot product, and the experts' outputs need not be kept.
    compute.gather(gradient, routing: routing, topK: experts.perToken, into: rows)
    multiplyByExpert(routing, experts.count) { expert, range in
      MatrixProduct(
        rows.rows(range), expertMatrix(p.down, expert, hiddenSize, width), into: activationGradient.rows(range))
    }
    compute.swiGLUBackward(outGradient: activationGradient, gateUpToGradient: gateUp, out: activation)
    compute.weightBackward(
      gradient: activationGradient, activation: activation, gateUpGradient: gateUp, routing: routing,
      weightGradient: weightGradient)
    multiplyByExpert(routing, experts.count) { expert, range in
      MatrixProduct(
        rows.rows(range).transposed, activation.rows(range),
        into: expertGradient(p.down, layer, expert, hiddenSize, width))
    }
    compute.gather(normed, routing: routing, topK: experts.perToken, into: inputs)
    multiplyByExpert(routing, experts.count) { expert, range in
      MatrixProduct(
        gateUp.rows(range).transposed, inputs.rows(range),
        into: expertGradient(p.gateUp, layer, expert, 2 * width, hiddenSize))
    }
    multiplyByExpert(routing, experts.count) { expert, range in
      MatrixProduct(
        gateUp.rows(range), expertMatrix(p.gateUp, expert, 2 * width, hiddenSize), into: rows.rows(range))
    }

    let logits = probabilities(layer, n, experts)
    let normalisation = auxiliaryScale / Float(n * configuration.sparseLayerCount)
    var balance: Buffer<Float>?
    if experts.balancing.loadCoefficient != 0 {
      balance = loadGradient(layer, tokens: n, experts, scale: normalisation)
    }
    compute.routeBackward(
      logits, topK: experts.perToken, renormalised: experts.renormalise, routing: routing,
      weightGradient: weightGradient, balance: balance, zScale: experts.balancing.zCoefficient * normalisation,
      logSumExp: floats.buffer[a.routerLogSumExp])
    let router = parameters[p.router].matrix(experts.count, hiddenSize)
    compute.multiply(
      MatrixProduct(
        logits.transposed, normed, into: gradientBuffer(p.router, layer).matrix(experts.count, hiddenSize)))
    compute.multiply(MatrixProduct(logits, router, into: normedGradient))
    compute.combine(rows, routing: routing, topK: experts.perToken, weighted: false, addingTo: normedGradient)
  }

  private func expertMatrix(_ range: Range<Int>, _ expert: Int, _ rows: Int, _ columns: Int) -> Matrix {
    parameters[range][expert * rows * columns..<(expert + 1) * rows * columns].matrix(rows, columns)
  }

  private func expertGradient(_ range: Range<Int>, _ layer: Int, _ expert: Int, _ rows: Int, _ columns: Int) -> Matrix {
    gradientBuffer(range, layer)[expert * rows * columns..<(expert + 1) * rows * columns].matrix(rows, columns)
  }

  // MARK: Load balancing

  /// Tokens that went to each expert of a sparse layer in the last forward pass, `[experts]`.
  public func expertLoads(layer: Int) -> [Int] {
    guard let experts = configuration.experts, configuration.sparseLayers[layer] else { return [] }
    let routing = routing(layer, slots: 0)
    return (0..<experts.count).map { routing.rows(ofExpert: $0).count }
  }

  /// The loads that the balancing loss compares with a layer's probabilities: its own, or the mean over all layers.
  private func measuredLoads(_ layer: Int, _ experts: ModelConfiguration.Experts) -> [Float] {
    if experts.balancing.scope == .layer { return expertLoads(layer: layer).map(Float.init) }
    var sums = Array(repeating: 0, count: experts.count)
    for layer in 0..<configuration.layers where configuration.sparseLayers[layer] {
      for (expert, load) in expertLoads(layer: layer).enumerated() { sums[expert] += load }
    }
    return sums.map { Float($0) / Float(configuration.sparseLayerCount) }
  }

  /// ∂loss/∂p[t, e] = coefficient · E · f_e / (tokens · layers), the same for every token of the layer.
  private func loadGradient(
    _ layer: Int, tokens: Int, _ experts: ModelConfiguration.Experts, scale: Float
  ) -> Buffer<Float> {
    let balance = floats.buffer[activationLayout.balance]
    let factor = experts.balancing.loadCoefficient * Float(experts.count) * scale / Float(tokens)
    for (expert, load) in measuredLoads(layer, experts).enumerated() { balance[expert] = factor * load }
    return balance
  }

  /// The balancing and z losses of the micro-batch, fixed point; 0 where both are off.
  func balancingLoss(tokens n: Int, of microBatches: Int) -> Int64? {
    guard let experts = configuration.experts,
      experts.balancing.loadCoefficient != 0 || experts.balancing.zCoefficient != 0
    else { return 0 }
    var total = 0.0
    let sums = floats.buffer[activationLayout.balance]
    for layer in 0..<configuration.layers where configuration.sparseLayers[layer] {
      compute.sumRows(probabilities(layer, n, experts), into: sums)
      let loads = measuredLoads(layer, experts)
      let product = (0..<experts.count).reduce(0.0) { $0 + Double(loads[$1]) * Double(sums[$1]) }
      total += Double(experts.balancing.loadCoefficient) * Double(experts.count) * product / Double(n * n)
      let z = floats.buffer[activationLayout.blocks[layer].routerLogSumExp]
      let squares = (0..<n).reduce(0.0) { $0 + Double(z[$1]) * Double(z[$1]) }
      total += Double(experts.balancing.zCoefficient) * squares / Double(n)
    }
    return LossFixedPoint.encode(Float(total / Double(configuration.sparseLayerCount)), of: microBatches)
  }
}
