/// Token losses as integers, so that their sum is exact: fixed point at 2⁻³² nats.
public enum LossFixedPoint {
  /// nil for a loss that is not finite or reaches 2³⁰ / `count`, so that a sum of `count` of them cannot overflow.
  public static func encode(_ loss: Float, of count: Int) -> Int64? {
    loss.isFinite && abs(Double(loss)) < 0x1p30 / Double(count) ? Int64((Double(loss) * 0x1p32).rounded()) : nil
  }
  public static func decode(_ sum: Int64) -> Double { Double(sum) * 0x1p-32 }
}

/// The coefficient of a token's negative log-likelihood in a loss, −∂loss/∂log p, which may depend on log p itself.
public typealias TokenCoefficient = @Sendable (_ token: Int, _ logProbability: Float) -> Float

extension Backend {
  /// The max tokens whose logits exist at one time.
  public static let crossEntropyChunk = 264

  /// Fused linear cross-entropy: the log-probabilities of a language-model head's targets and, with `backward`, the
  /// gradients of a loss of them, by chunks of tokens; the full logits never exist.
  ///
  /// A token's coefficient depends on its own log-probability only, so each chunk's logits are overwritten by their
  /// gradient and used while they are in cache.
  ///
  /// - Parameters:
  ///   - hidden: `[tokens, hidden]`, normalised; overwritten by its gradient when `backward` is given.
  ///   - weight: `[vocabulary, hidden]`, which the backward pass reads.
  ///   - linear: the same weight as the forward pass reads it; nil for `weight` itself.
  ///   - targets: `[tokens]`; -1 where there is none.
  ///   - logits: scratch `[crossEntropyChunk, vocabulary]`.
  ///   - logProbabilities: `[tokens]`, log p(target); 0 where there is none.
  ///   - backward: −∂loss/∂log p of a token, and the weight's gradient `[vocabulary, hidden]`, which is replaced.
  public func crossEntropy(
    hidden: Matrix, weight: Matrix, linear: LinearWeight? = nil, targets: Buffer<Int32>, logits: Buffer<Float>,
    logProbabilities: Buffer<Float>,
    backward: (coefficient: TokenCoefficient, weightGradient: Matrix)? = nil
  ) {
    precondition(hidden.columns == weight.columns && targets.count == hidden.rows)
    precondition(logProbabilities.count >= hidden.rows)
    // The weight's gradient is a sum over tokens, whose blocks the chunks follow.
    let size = matrixBackend == .native ? Self.innerBlock : Self.crossEntropyChunk
    var first = 0
    while first < hidden.rows {
      let chunk = first..<min(hidden.rows, first + size)
      let x = hidden.rows(chunk)
      let scores = logits.matrix(chunk.count, weight.rows)
      multiply(MatrixProduct(x, linear ?? .plain(weight), into: scores))
      let coefficient = backward?.coefficient
      team.forEachChunk(of: chunk.count, size: 8) { [table] rows, _ in
        for row in rows {
          let token = chunk.lowerBound + row
          let target = Int(targets[token])
          precondition(target < weight.rows, "target outside the vocabulary")
          let line = scores.base + row * scores.stride
          let score = target >= 0 ? line[target] : 0
          guard let coefficient else {
            let logSumExp = table.log_sum_exp_row(Int64(weight.rows), line, nil)
            logProbabilities[token] = target >= 0 ? score - logSumExp : 0
            continue
          }
          var sum: Float = 0
          let logSumExp = table.log_sum_exp_row(Int64(weight.rows), line, &sum)
          logProbabilities[token] = target >= 0 ? score - logSumExp : 0
          // coefficient · (softmax − onehot(target))
          let share = target >= 0 ? coefficient(token, logProbabilities[token]) : 0
          table.scale(Int64(weight.rows), share / sum, line, line)
          if target >= 0 { line[target] -= share }
        }
      }
      if let backward {
        multiply(
          MatrixProduct(scores.transposed, x, into: backward.weightGradient, accumulate: chunk.lowerBound > 0))
        multiply(MatrixProduct(scores, weight, into: x))
      }
      first = chunk.upperBound
    }
  }

  /// log p(token) with p the softmax of `logits` `[vocabulary]`, as `crossEntropy` computes it.
  public func logProbability(of token: Int, logits: Buffer<Float>) -> Float {
    precondition(token >= 0 && token < logits.count, "token outside the vocabulary")
    return logits[token] - table.log_sum_exp_row(Int64(logits.count), logits.base, nil)
  }
}
