/// The hyperparameters of one Muon step, the same for every matrix.
public struct MuonStep: Sendable {
  public var learningRate: Double
  public var momentum: Double
  public var weightDecay: Double
  public var newtonSchulzSteps: Int

  public init(learningRate: Double, momentum: Double, weightDecay: Double, newtonSchulzSteps: Int) {
    self.learningRate = learningRate
    self.momentum = momentum
    self.weightDecay = weightDecay
    self.newtonSchulzSteps = newtonSchulzSteps
  }

  /// Floats of scratch memory for a matrix: its update, and the scratch of its orthogonalisation.
  public static func scratchFloats(rows: Int, columns: Int) -> Int {
    rows * columns + NewtonSchulz.scratchFloats(rows: rows, columns: columns)
  }

  /// The learning rate of an orthogonal `[rows, columns]` update. Its root mean square is (max(rows, columns))^(−1/2);
  /// this makes it 0.2, about that of AdamW's updates, so that one learning rate serves both (Liu et al. 2025, "Muon is
  /// scalable for LLM training").
  static func matchedLearningRate(_ learningRate: Double, rows: Int, columns: Int) -> Double {
    0.2 * Double(max(rows, columns)).squareRoot() * learningRate
  }
}

/// The operands of a Muon update of one row-major matrix `[rows, columns]`.
public struct MuonMatrix: Sendable {
  public let rows: Int
  public let columns: Int
  /// The exact gradient sum, which is converted to fp32.
  public let accumulator: Buffer<Int64>
  /// The running mean of the gradient, updated in place.
  public let momentum: Buffer<Float>
  /// The weights, updated in place.
  public let parameters: Buffer<Float>

  public init(
    rows: Int, columns: Int, accumulator: Buffer<Int64>, momentum: Buffer<Float>, parameters: Buffer<Float>
  ) {
    precondition(accumulator.count == rows * columns && momentum.count == accumulator.count)
    precondition(parameters.count == accumulator.count)
    self.rows = rows
    self.columns = columns
    self.accumulator = accumulator
    self.momentum = momentum
    self.parameters = parameters
  }
}

extension Backend {
  /// One Muon update (Jordan et al. 2024) with Nesterov momentum and decoupled weight decay, as `torch.optim.Muon`:
  /// m ← μ m + (1 − μ) g, u = (1 − μ) g + μ m, then weights ← (1 − η λ) weights − η' orthogonalise(u).
  ///
  /// A matrix's bits depend neither on the number of threads nor on the other matrices.
  ///
  /// - Parameters:
  ///   - gradientScale: the clipping factor.
  ///   - matrices: several are orthogonalised together, to keep all threads busy when they are small.
  ///   - scratch: at least the `MuonStep.scratchFloats` of all matrices together.
  public func muon(_ step: MuonStep, gradientScale: Float, matrices: [MuonMatrix], scratch: Buffer<Float>) {
    var used = 0
    let updates = matrices.map { matrix in
      defer { used += matrix.parameters.count }
      return scratch[used..<used + matrix.parameters.count].matrix(matrix.rows, matrix.columns)
    }
    let kept = Float(step.momentum)
    let new = Float(1 - step.momentum) * gradientScale
    for (matrix, update) in zip(matrices, updates) {
      team.forEachChunk(of: matrix.parameters.count, size: Self.elementsPerTask) { [table] range, _ in
        let (count, start) = (Int64(range.count), range.lowerBound)
        let (momentum, update) = (matrix.momentum.base + start, update.base + start)
        table.from_fixed(count, matrix.accumulator.base + start, update)
        table.scale(count, new, update, update)
        table.scale(count, kept, momentum, momentum)
        table.axpy(count, 1, update, momentum)
        table.axpy(count, kept, momentum, update)
      }
    }
    orthogonalise(updates, steps: step.newtonSchulzSteps, scratch: scratch[used..<scratch.count])
    let decay = Float(1 - step.learningRate * step.weightDecay)
    for (matrix, update) in zip(matrices, updates) {
      let rate = Float(
        MuonStep.matchedLearningRate(step.learningRate, rows: matrix.rows, columns: matrix.columns))
      team.forEachChunk(of: matrix.parameters.count, size: Self.elementsPerTask) { [table] range, _ in
        let parameters = matrix.parameters.base + range.lowerBound
        table.scale(Int64(range.count), decay, parameters, parameters)
        table.axpy(Int64(range.count), -rate, update.base + range.lowerBound, parameters)
      }
    }
  }
}
