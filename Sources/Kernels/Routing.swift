/// Where each token of a micro-batch goes: the top-k choice, sorted by expert.
///
/// A *slot* is a (token, choice) pair, numbered `token · k + choice`. Within an expert, rows stand in token order.
public struct Routing: Sendable {
  /// `[slots]`: the chosen expert, and the weight of its output.
  public let experts: Buffer<Int32>
  public let weights: Buffer<Float>
  /// `[slots]`: slot → row in expert order, and back.
  public let rowOfSlot: Buffer<Int32>
  public let slotOfRow: Buffer<Int32>
  /// `[experts + 1]`: expert e's rows are `offsets[e]..<offsets[e + 1]`.
  public let offsets: Buffer<Int32>

  public init(
    experts: Buffer<Int32>, weights: Buffer<Float>, rowOfSlot: Buffer<Int32>, slotOfRow: Buffer<Int32>,
    offsets: Buffer<Int32>
  ) {
    self.experts = experts
    self.weights = weights
    self.rowOfSlot = rowOfSlot
    self.slotOfRow = slotOfRow
    self.offsets = offsets
  }

  public func rows(ofExpert expert: Int) -> Range<Int> { Int(offsets[expert])..<Int(offsets[expert + 1]) }
}

extension Compute {
  /// Softmax over the experts, the `k` largest probabilities of each token (ties to the lower index), their weights
  /// (divided by their sum when `renormalise`), and the permutation into expert order.
  ///
  /// - Parameters: `logits` `[tokens, experts]` become probabilities; `logSumExp` `[tokens]`.
  public func route(
    _ logits: Matrix, topK k: Int, renormalise: Bool, logSumExp: Buffer<Float>, into routing: Routing
  ) {
    precondition(k <= logits.columns && routing.experts.count >= logits.rows * k)
    team.forEachChunk(of: logits.rows, size: Self.rowsPerTask) { [table] rows, _ in
      for token in rows {
        let p = logits.base + token * logits.stride
        logSumExp[token] = table.softmax_row(Int64(logits.columns), p)
        var total: Float = 0
        for choice in 0..<k {
          var best = -1
          for expert in 0..<logits.columns where best < 0 || p[expert] > p[best] {
            if (0..<choice).contains(where: { routing.experts[token * k + $0] == Int32(expert) }) { continue }
            best = expert
          }
          routing.experts[token * k + choice] = Int32(best)
          routing.weights[token * k + choice] = p[best]
          total += p[best]
        }
        if renormalise {
          for choice in 0..<k { routing.weights[token * k + choice] /= total }
        }
      }
    }
    sortByExpert(slots: logits.rows * k, experts: logits.columns, routing)
  }

  /// A counting sort, stable in the slots.
  private func sortByExpert(slots: Int, experts: Int, _ routing: Routing) {
    routing.offsets.fill(0)
    for slot in 0..<slots { routing.offsets[Int(routing.experts[slot]) + 1] += 1 }
    for expert in 0..<experts { routing.offsets[expert + 1] += routing.offsets[expert] }
    for slot in 0..<slots {
      let expert = Int(routing.experts[slot])
      let row = routing.offsets[expert]
      routing.rowOfSlot[slot] = row
      routing.slotOfRow[Int(row)] = Int32(slot)
      routing.offsets[expert] = row + 1
    }
    for expert in (0..<experts).reversed() { routing.offsets[expert + 1] = routing.offsets[expert] }
    routing.offsets[0] = 0
  }

  /// The router's backward pass: from the gradients of the chosen weights to the gradients of the logits.
  ///
  /// The auxiliary losses come in as `balance[e]` = ∂L/∂p[t, e], the same for every token, and `zScale`, so that
  /// ∂L/∂logSumExp[t] = 2 · zScale · logSumExp[t].
  ///
  /// - Parameters: `probabilities` `[tokens, experts]` become the gradient of the logits; `weightGradient` `[slots]`.
  public func routeBackward(
    _ probabilities: Matrix, topK k: Int, renormalised: Bool, routing: Routing, weightGradient: Buffer<Float>,
    balance: Buffer<Float>?, zScale: Float, logSumExp: Buffer<Float>
  ) {
    let experts = probabilities.columns
    precondition(experts <= Self.keyBlock * Self.queryBlock, "more experts than scratch memory")
    team.forEachChunk(of: probabilities.rows, size: Self.rowsPerTask) { [self] rows, thread in
      let gradient = scratch(thread).base
      for token in rows {
        let p = probabilities.base + token * probabilities.stride
        for expert in 0..<experts { gradient[expert] = balance.map { $0[expert] } ?? 0 }
        let slots = token * k..<(token + 1) * k
        var shared: Float = 0
        var total: Float = 1
        if renormalised {
          // w = p / Σp  ⇒  dp = (dw − Σ w dw) / Σp
          total = 0
          for slot in slots {
            shared += weightGradient[slot] * routing.weights[slot]
            total += p[Int(routing.experts[slot])]
          }
        }
        for slot in slots { gradient[Int(routing.experts[slot])] += (weightGradient[slot] - shared) / total }
        let mean = table.dot(Int64(experts), gradient, p)
        let z = 2 * zScale * logSumExp[token]
        for expert in 0..<experts { p[expert] *= gradient[expert] - mean + z }
      }
    }
  }

  /// `rows[r] = x[token of row r]`: `x` `[tokens, hidden]`, `rows` `[slots, hidden]`.
  public func gather(_ x: Matrix, routing: Routing, topK k: Int, into rows: Matrix) {
    precondition(rows.rows == x.rows * k && rows.columns == x.columns)
    team.forEachChunk(of: rows.rows, size: Self.rowsPerTask) { range, _ in
      for row in range {
        let token = Int(routing.slotOfRow[row]) / k
        (rows.base + row * rows.stride).update(from: x.base + token * x.stride, count: x.columns)
      }
    }
  }

  /// `y[t] += Σ over the choices, in order, of weight · rows[row of the choice]`; without weights when `weighted` is
  /// false, which is `gather`'s backward pass.
  public func combine(_ rows: Matrix, routing: Routing, topK k: Int, weighted: Bool, addingTo y: Matrix) {
    precondition(rows.rows == y.rows * k && rows.columns == y.columns)
    team.forEachChunk(of: y.rows, size: Self.rowsPerTask) { [table] range, _ in
      for token in range {
        for slot in token * k..<(token + 1) * k {
          table.axpy(
            Int64(y.columns), weighted ? routing.weights[slot] : 1,
            rows.base + Int(routing.rowOfSlot[slot]) * rows.stride, y.base + token * y.stride)
        }
      }
    }
  }

  /// The backward pass of the weights in `combine`, given what the experts' rows would be without them: with `gradient`
  /// the unweighted gradient of the `activation` `[slots, intermediate]`, `weightGradient[slot] = ⟨gradient, activation⟩`;
  /// then the rows of `activation` and of `gateUpGradient` `[slots, 2 · intermediate]` are scaled by their weights.
  public func weightBackward(
    gradient: Matrix, activation: Matrix, gateUpGradient: Matrix, routing: Routing, weightGradient: Buffer<Float>
  ) {
    precondition(gradient.rows == activation.rows && gateUpGradient.rows == activation.rows)
    precondition(gradient.columns == activation.columns && weightGradient.count >= gradient.rows)
    team.forEachChunk(of: gradient.rows, size: Self.rowsPerTask) { [table] range, _ in
      for row in range {
        let slot = Int(routing.slotOfRow[row])
        let weight = routing.weights[slot]
        let line = activation.base + row * activation.stride
        let gateUp = gateUpGradient.base + row * gateUpGradient.stride
        weightGradient[slot] = table.dot(Int64(gradient.columns), gradient.base + row * gradient.stride, line)
        table.scale(Int64(activation.columns), weight, line, line)
        table.scale(Int64(gateUpGradient.columns), weight, gateUp, gateUp)
      }
    }
  }
}
