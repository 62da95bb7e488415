/// The routing of a micro-batch: top-k experts and weights, and the permutation into expert order.
///
/// A *slot* is a (token, choice) pair, numbered `token · k + choice`. Within an expert, rows are in token order.
public struct Routing: Sendable {
  /// `[slots]`: the selected expert, and the weight of its output.
  public let experts: Buffer<Int32>
  public let weights: Buffer<Float>
  /// `[slots]`: slot → row in expert order, and back.
  public let permutation: Buffer<Int32>
  public let inversePermutation: Buffer<Int32>
  /// `[experts + 1]`: expert e's rows are `offsets[e]..<offsets[e + 1]`.
  public let offsets: Buffer<Int32>

  public init(
    experts: Buffer<Int32>, weights: Buffer<Float>, permutation: Buffer<Int32>, inversePermutation: Buffer<Int32>,
    offsets: Buffer<Int32>
  ) {
    self.experts = experts
    self.weights = weights
    self.permutation = permutation
    self.inversePermutation = inversePermutation
    self.offsets = offsets
  }

  public func rows(ofExpert expert: Int) -> Range<Int> { Int(offsets[expert])..<Int(offsets[expert + 1]) }
}

extension Backend {
  /// Added to sums of scores before a division, as in transformers: a token whose scores are all 0 has weights 0.
  private static let epsilon: Float = 1e-20

  /// Routes tokens: computes scores, the top-`k` experts of each token by key (ties to the lower index), their weights,
  /// and the permutation into expert order. A key is a score plus the expert bias; weights depend on scores only.
  ///
  /// - Parameters:
  ///   - logits: `[tokens, experts]`, overwritten by the scores.
  ///   - expertBias: `[experts]`; nil where the router has none.
  ///   - normaliser: `[tokens]`: for a softmax the log-sum-exp of the logits, for sigmoids the sum of the scores.
  public func route(
    _ logits: Matrix, router: Router, topK k: Int, expertBias: Buffer<Float>? = nil, normaliser: Buffer<Float>,
    into routing: Routing
  ) {
    let experts = logits.columns
    precondition(k <= experts && routing.experts.count >= logits.rows * k && normaliser.count >= logits.rows)
    precondition(routing.weights.count >= logits.rows * k && expertBias.map { $0.count == experts } ?? true)
    precondition(experts % router.groups == 0 && router.groupsPerToken <= router.groups)
    precondition(router.groupsPerToken * (experts / router.groups) >= k, "too few experts in a token's groups")
    precondition(2 * experts <= Self.scratchPerThread, "more experts than scratch memory")
    team.forEachChunk(of: logits.rows, size: Self.rowsPerTask) { [self] rows, thread in
      let keys = scratch(thread).base
      for token in rows {
        let scores = logits.base + token * logits.stride
        switch router.scoring {
        case .softmax: normaliser[token] = table.softmax_row(Int64(experts), scores)
        case .sigmoid: normaliser[token] = table.sigmoid_row(Int64(experts), scores) + Self.epsilon
        }
        keys.update(from: scores, count: experts)
        if let expertBias { table.axpy(Int64(experts), 1, expertBias.base, keys) }
        if router.groupsPerToken < router.groups {
          Self.closeGroups(of: keys, experts: experts, router: router, best: keys + experts)
        }
        Self.selectLargest(k, of: keys, count: experts, into: routing.experts.base + token * k)

        let slots = token * k..<(token + 1) * k
        var total: Float = 0
        for slot in slots {
          let score = scores[Int(routing.experts[slot])]
          routing.weights[slot] = score
          total += score
        }
        if router.renormalise {
          for slot in slots { routing.weights[slot] /= total + Self.epsilon }
        }
        for slot in slots { routing.weights[slot] *= router.scalingFactor }
      }
    }
    sortByExpert(slots: logits.rows * k, experts: experts, routing)
  }

  /// Top-k: the indices of the `k` largest values, in descending order, ties to the lower index. One pass of insertion
  /// into a sorted list, which few elements enter.
  private static func selectLargest(
    _ k: Int, of values: UnsafePointer<Float>, count: Int, into chosen: UnsafeMutablePointer<Int32>
  ) {
    var least: Float = 0  // the last of a full list
    for index in 0..<count {
      let value = values[index]
      if index >= k, !(value > least) { continue }
      var place = min(index, k - 1)
      while place > 0, value > values[Int(chosen[place - 1])] {
        chosen[place] = chosen[place - 1]
        place -= 1
      }
      chosen[place] = Int32(index)
      if index >= k - 1 { least = values[Int(chosen[k - 1])] }
    }
  }

  /// Group-limited routing: masks the keys of all groups but the best `groupsPerToken` with −∞; ties to the lower
  /// group.
  ///
  /// - Parameter best: `[groups]`, scratch: the sum of each group's two largest keys.
  private static func closeGroups(
    of keys: UnsafeMutablePointer<Float>, experts: Int, router: Router, best: UnsafeMutablePointer<Float>
  ) {
    let size = experts / router.groups
    for group in 0..<router.groups {
      var (first, second) = (-Float.infinity, -Float.infinity)
      for key in UnsafeBufferPointer(start: keys + group * size, count: size) {
        if key > first { (first, second) = (key, first) } else if key > second { second = key }
      }
      best[group] = first + second
    }
    for group in 0..<router.groups {
      let better = (0..<router.groups).count { best[$0] > best[group] || (best[$0] == best[group] && $0 < group) }
      if better >= router.groupsPerToken { (keys + group * size).update(repeating: -.infinity, count: size) }
    }
  }

  /// A stable counting sort of the slots by expert.
  private func sortByExpert(slots: Int, experts: Int, _ routing: Routing) {
    routing.offsets.fill(0)
    for slot in 0..<slots { routing.offsets[Int(routing.experts[slot]) + 1] += 1 }
    for expert in 0..<experts { routing.offsets[expert + 1] += routing.offsets[expert] }
    for slot in 0..<slots {
      let expert = Int(routing.experts[slot])
      let row = routing.offsets[expert]
      routing.permutation[slot] = row
      routing.inversePermutation[Int(row)] = Int32(slot)
      routing.offsets[expert] = row + 1
    }
    for expert in (0..<experts).reversed() { routing.offsets[expert + 1] = routing.offsets[expert] }
    routing.offsets[0] = 0
  }

  /// The router's backward pass: from the gradients of the routing weights to the gradients of the logits. The
  /// selection, and so the expert bias, has no gradient.
  ///
  /// The auxiliary losses enter as `balance[e]` = ∂L/∂P[t, e], the same for every token, where P are the scores divided
  /// by their sum, and, for a softmax only, as `zScale`, with ∂L/∂logSumExp[t] = 2 · zScale · logSumExp[t].
  ///
  /// - Parameters: `scores` `[tokens, experts]` are overwritten by the gradient of the logits; `weightGradient`
  ///   `[slots]`; `normaliser` `[tokens]`, from `route`.
  public func routeBackward(
    _ scores: Matrix, router: Router, topK k: Int, routing: Routing, weightGradient: Buffer<Float>,
    balance: Buffer<Float>?, zScale: Float, normaliser: Buffer<Float>
  ) {
    let experts = scores.columns
    precondition(experts <= Self.scratchPerThread, "more experts than scratch memory")
    precondition(zScale == 0 || router.scoring == .softmax, "sigmoids have no log-sum-exp")
    team.forEachChunk(of: scores.rows, size: Self.rowsPerTask) { [self] rows, thread in
      let gradient = scratch(thread).base
      for token in rows {
        let s = scores.base + token * scores.stride
        scoreGradient(s, experts, router, normaliser[token], balance, into: gradient)
        let slots = token * k..<(token + 1) * k
        var shared: Float = 0
        var total: Float = 1
        if router.renormalise {
          // w = γ s / Σs  ⇒  ds = (γ dw − Σ w dw) / Σs
          total = 0
          for slot in slots {
            shared += weightGradient[slot] * routing.weights[slot]
            total += s[Int(routing.experts[slot])]
          }
          total += Self.epsilon
        }
        for slot in slots {
          gradient[Int(routing.experts[slot])] += (router.scalingFactor * weightGradient[slot] - shared) / total
        }
        switch router.scoring {
        case .softmax:
          let mean = table.dot(Int64(experts), gradient, s)
          let z = 2 * zScale * normaliser[token]
          for expert in 0..<experts { s[expert] *= gradient[expert] - mean + z }
        case .sigmoid:
          for expert in 0..<experts { s[expert] *= gradient[expert] * (1 - s[expert]) }
        }
      }
    }
  }

  /// ∂L/∂score of one token through P = score / Σ scores, which for a softmax are the scores themselves.
  private func scoreGradient(
    _ scores: UnsafePointer<Float>, _ experts: Int, _ router: Router, _ normaliser: Float, _ balance: Buffer<Float>?,
    into gradient: UnsafeMutablePointer<Float>
  ) {
    guard let balance else { return gradient.update(repeating: 0, count: experts) }
    precondition(balance.count == experts)
    switch router.scoring {
    case .softmax: gradient.update(from: balance.base, count: experts)
    case .sigmoid:
      let mean = table.dot(Int64(experts), balance.base, scores) / normaliser
      for expert in 0..<experts { gradient[expert] = (balance.base[expert] - mean) / normaliser }
    }
  }

  /// `sums[e] = Σ over the tokens, in order, of score[t, e] / Σ scores[t]`.
  ///
  /// - Parameters: `scores` `[tokens, experts]` and `normaliser` `[tokens]`, from `route`; `sums` `[experts]`.
  public func sumProbabilities(
    _ scores: Matrix, router: Router, normaliser: Buffer<Float>, into sums: Buffer<Float>
  ) {
    guard router.scoring == .sigmoid else { return sumRows(scores, into: sums) }
    precondition(sums.count == scores.columns && normaliser.count >= scores.rows)
    team.forEachChunk(of: scores.columns, size: Self.columnsPerTask) { [table] columns, _ in
      let sum = sums.base + columns.lowerBound
      sum.update(repeating: 0, count: columns.count)
      for token in 0..<scores.rows {
        let line = scores.base + token * scores.stride + columns.lowerBound
        table.axpy(Int64(columns.count), 1 / normaliser[token], line, sum)
      }
    }
  }
}
