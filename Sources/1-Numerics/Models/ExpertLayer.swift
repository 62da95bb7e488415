public import Kernels

/// The rows of one micro-batch for one expert: one matrix product, on any rank.
public struct ExpertSegment: Sendable, Equatable {
  public let expert: Int
  /// The rank, in the group that shares the experts, that the rows belong to.
  public let source: Int
  /// Rows of the expert layer's inputs on this rank.
  public let rows: Range<Int>
  /// Where they came from and return to: a range of this rank's rows, or of those received from other ranks.
  public let origin: Range<Int>

  public init(expert: Int, source: Int, rows: Range<Int>, origin: Range<Int>) {
    self.expert = expert
    self.source = source
    self.rows = rows
    self.origin = origin
  }
}

extension [ExpertSegment] {
  /// The range that adjacent segments cover together.
  public var rows: Range<Int> { span(\.rows) }
  public var origin: Range<Int> { span(\.origin) }

  private func span(_ range: KeyPath<Element, Range<Int>>) -> Range<Int> {
    guard let first, let last else { return 0..<0 }
    return first[keyPath: range].lowerBound..<last[keyPath: range].upperBound
  }
}

/// Grouped feed-forward networks of a mixture-of-experts layer: y = down(silu(gate(x)) · up(x)), one network per
/// expert.
///
/// It computes segments of rows, and does not depend on ranks: an ``ExpertExchange`` determines the segments and their
/// order. The layer is linear in the routing weights, so gradients are computed without them first; a weight's own
/// gradient is then a dot product, and the experts' outputs need not be kept.
public struct ExpertLayer {
  let backend: Backend
  let layout: ParameterLayout
  let layer: Int
  /// `[layout.count]`
  let parameters: Buffer<Float>
  /// Nil where products read the plain parameters.
  let packedWeights: PackedWeights?
  /// The inputs of at most R rows: `[R, hidden]`, kept or gathered again for the backward pass.
  public let inputs: Matrix
  /// `[R, 2 · intermediate]`: gate and up of the forward pass, then their gradient.
  let gateUp: Matrix
  /// `[R, intermediate]`: silu(gate) · up, and its gradient.
  let activation: Matrix
  let activationGradient: Matrix
  /// Scratch for the experts' weight gradients, before they are added to the exact sums.
  let gradients: Buffer<Float>
  /// nil in a forward pass.
  let accumulator: (any GradientAccumulator)?

  /// Computes the outputs of some segments.
  ///
  /// - Parameters:
  ///   - outputs: `[rows, hidden]`, written at the segments' origins.
  ///   - weights: `[expert size]` of a shadowed expert hosted here; nil for the layer's own.
  public func forward(_ segments: [ExpertSegment], to outputs: Matrix, weights: Buffer<Float>? = nil) {
    recompute(segments, weights: weights)
    backend.swiGLU(gateUp.rows(segments.rows), into: activation.rows(segments.rows))
    backend.multiply(
      segments.map {
        MatrixProduct(
          activation.rows($0.rows), linear($0.expert, weights).down, into: outputs.rows($0.origin))
      })
  }

  /// Computes the part of `forward` that `backward` needs: gate and up.
  public func recompute(_ segments: [ExpertSegment], weights: Buffer<Float>? = nil) {
    backend.multiply(
      segments.map {
        MatrixProduct(
          inputs.rows($0.rows), linear($0.expert, weights).gateUp, into: gateUp.rows($0.rows))
      })
  }

  /// Computes the gradients of some segments' inputs and routing weights.
  ///
  /// - Parameters:
  ///   - arrived: `[rows, hidden + 1]`, read at the segments' origins: the outputs' gradients, and each row's routing
  ///     weight.
  ///   - results: `[rows, hidden + 1]`, written at the same rows: the inputs' gradients, and the weight's.
  ///   - weights: as in `forward`.
  public func backward(
    _ segments: [ExpertSegment], from arrived: Matrix, to results: Matrix, weights: Buffer<Float>? = nil
  ) {
    let (range, origin) = (segments.rows, segments.origin)
    let columns = 0..<inputs.columns
    let weightColumn = inputs.columns..<inputs.columns + 1
    backend.multiply(
      segments.map {
        MatrixProduct(
          arrived.rows($0.origin).columns(columns), matrices($0.expert, weights).down,
          into: activationGradient.rows($0.rows))
      })
    backend.swiGLUBackward(
      outGradient: activationGradient.rows(range), gateUpToGradient: gateUp.rows(range), out: activation.rows(range))
    backend.weightBackward(
      gradient: activationGradient.rows(range), activation: activation.rows(range), gateUpGradient: gateUp.rows(range),
      weights: arrived.rows(origin).columns(weightColumn), weightGradients: results.rows(origin).columns(weightColumn))
    backend.multiply(
      segments.map {
        MatrixProduct(
          gateUp.rows($0.rows), matrices($0.expert, weights).gateUp, into: results.rows($0.origin).columns(columns))
      })
  }

  /// Computes the weight gradients of some segments' experts, contiguous in `memory`; call it after `backward`.
  public func weightGradients(
    _ segments: ArraySlice<ExpertSegment>, from arrived: Matrix, into memory: Buffer<Float>
  ) {
    let size = layout.expertSize
    backend.multiply(
      segments.enumerated().flatMap { place, segment in
        let gradient = matrices(memory[place * size..<(place + 1) * size])
        return [
          MatrixProduct(
            arrived.columns(0..<inputs.columns).rows(segment.origin).transposed, activation.rows(segment.rows),
            into: gradient.down),
          MatrixProduct(gateUp.rows(segment.rows).transposed, inputs.rows(segment.rows), into: gradient.gateUp),
        ]
      })
  }

  /// Accumulates each segment's weight gradients into the exact sums, as many experts of a micro-batch at a time as the
  /// scratch memory holds. An expert without rows adds nothing.
  public func addWeightGradients(_ segments: [ExpertSegment], from arrived: Matrix) {
    let size = layout.expertSize
    let capacity = gradients.count / size
    var rest = segments[...]
    while let first = rest.first {
      // Consecutive experts, so that their gradients are one range of the arena.
      var batch = rest.prefix(1)
      while batch.count < capacity, batch.endIndex < rest.endIndex, rest[batch.endIndex].source == first.source,
        rest[batch.endIndex].expert == first.expert + batch.count
      {
        batch = rest[batch.startIndex...batch.endIndex]
      }
      rest = rest[batch.endIndex...]
      weightGradients(batch, from: arrived, into: gradients)
      add(gradients.prefix(batch.count * size), ofExperts: first.expert..<first.expert + batch.count)
    }
  }

  /// Accumulates the gradients of consecutive experts, `[experts, expert size]`, into the exact sums.
  public func add(_ gradient: Buffer<Float>, ofExperts experts: Range<Int>) {
    guard let accumulator else { preconditionFailure("a forward pass has no gradients") }
    accumulator.add(gradient, at: layout.experts(experts, layer: layer), backend: backend)
  }

  /// The weights of some experts, `[experts, expert size]`.
  public func weights(of experts: Range<Int>) -> Buffer<Float> {
    parameters[layout.experts(experts, layer: layer)]
  }

  private typealias Matrices = (gateUp: Matrix, down: Matrix)

  private func matrices(_ expert: Int, _ weights: Buffer<Float>?) -> Matrices {
    matrices(weights ?? self.weights(of: expert..<expert + 1))
  }

  /// The weights as products of the forward pass read them: packed, unless they are another rank's.
  private func linear(_ expert: Int, _ weights: Buffer<Float>?) -> (gateUp: LinearWeight, down: LinearWeight) {
    let plain = matrices(expert, weights)
    guard let packedWeights, weights == nil else { return (.plain(plain.gateUp), .plain(plain.down)) }
    let start = layout.experts(expert..<expert + 1, layer: layer).lowerBound
    let down = start + plain.gateUp.rows * plain.gateUp.columns
    return (
      .packed(packedWeights.matrix(plain.gateUp, at: start, backend: backend)),
      .packed(packedWeights.matrix(plain.down, at: down, backend: backend))
    )
  }

  /// `[2 · intermediate, hidden]` and, behind it, `[hidden, intermediate]`.
  private func matrices(_ memory: Buffer<Float>) -> Matrices {
    let (hidden, width) = (inputs.columns, activation.columns)
    let first = 2 * width * hidden
    return (memory[0..<first].matrix(2 * width, hidden), memory[first..<memory.count].matrix(hidden, width))
  }
}
