/// Token losses as integers, so that their sum is exact: fixed point at 2⁻³² nats.
public enum LossFixedPoint {
  /// nil for a loss that is not finite or reaches 2³⁰ / `count`, so that a sum of `count` of them cannot overflow.
  public static func encode(_ loss: Float, of count: Int) -> Int64? {
    loss.isFinite && abs(Double(loss)) < 0x1p30 / Double(count) ? Int64((Double(loss) * 0x1p32).rounded()) : nil
  }
  public static func decode(_ sum: Int64) -> Double { Double(sum) * 0x1p-32 }
}

extension Compute {
  /// Tokens whose logits exist at one time.
  public static let crossEntropyChunk = 264

  /// The loss of a language-model head and, if wanted, its gradients, by chunks of tokens: logits are never whole.
  ///
  /// The gradient's scale (one over the target tokens of the global batch) is known beforehand, so each chunk's
  /// logits turn into their gradient at once and are used while they are warm.
  ///
  /// - Parameters:
  ///   - hidden: `[tokens, hidden]`, normalised; becomes its own gradient when `backward` is given.
  ///   - weight: `[vocabulary, hidden]`.
  ///   - targets: `[tokens]`; -1 is not trained on.
  ///   - logits: scratch `[crossEntropyChunk, vocabulary]`.
  ///   - logProbabilities: `[tokens]`, log p(target); 0 where there is none.
  ///   - backward: the gradient's scale and the weight's gradient `[vocabulary, hidden]`, which is replaced.
  public func crossEntropy(
    hidden: Matrix, weight: Matrix, targets: Buffer<Int32>, logits: Buffer<Float>, logProbabilities: Buffer<Float>,
    backward: (scale: Float, weightGradient: Matrix)? = nil
  ) {
    precondition(hidden.columns == weight.columns && targets.count == hidden.rows)
    precondition(logProbabilities.count >= hidden.rows)
    var first = 0
    while first < hidden.rows {
      let chunk = first..<min(hidden.rows, first + Self.crossEntropyChunk)
      let x = hidden.rows(chunk)
      let scores = logits.matrix(chunk.count, weight.rows)
      multiply(MatrixProduct(x, weight.transposed, into: scores))
      let scale = backward?.scale
      team.forEachChunk(of: chunk.count, size: 8) { [table] rows, _ in
        for row in rows {
          let token = chunk.lowerBound + row
          let target = Int(targets[token])
          precondition(target < weight.rows, "target outside the vocabulary")
          let line = scores.base + row * scores.stride
          let score = target >= 0 ? line[target] : 0
          let logSumExp = table.cross_entropy_row(
            Int64(weight.rows), line, Int64(target), scale != nil, target >= 0 ? scale ?? 0 : 0)
          logProbabilities[token] = target >= 0 ? score - logSumExp : 0
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
    return logits[token] - table.cross_entropy_row(Int64(logits.count), logits.base, Int64(token), false, 0)
  }
}
