import Kernels
import Testing

/// Every kernel gives the same bits with any number of threads.
struct ThreadCountTests {
  /// Fills an array with input, runs one kernel on it, and returns everything that it wrote to.
  typealias Run = @Sendable (Backend) -> [[Float]]

  private static func random(_ count: Int, seed: UInt64 = 1) -> Arena<Float> {
    var numbers = Numbers(seed: seed)
    return Arena(numbers.array(count))
  }

  private static func integers(_ count: Int, below bound: Int) -> Arena<Int32> {
    var numbers = Numbers(seed: 3)
    return Arena((0..<count).map { _ in Int32(numbers.index(below: bound)) })
  }

  private static let rows = 333
  private static let columns = 200

  private static func elementwise(_ body: @escaping @Sendable (Backend, Matrix, Matrix, Buffer<Float>) -> Void) -> Run {
    { backend in
      let (x, y, weight) = (random(rows * columns), random(rows * columns, seed: 2), random(columns))
      body(backend, x.matrix(rows, columns), y.matrix(rows, columns), weight.buffer)
      return [x.array, y.array, weight.array]
    }
  }

  static let kernels: [(name: String, run: Run)] = [
    ("add", elementwise { backend, x, y, _ in backend.add(x, to: y) }),
    ("add bias", elementwise { backend, _, y, weight in backend.addBias(weight, to: y) }),
    ("sum rows", elementwise { backend, x, _, weight in backend.sumRows(x, into: weight) }),
    (
      "swiglu",
      elementwise { backend, x, y, _ in
        let contiguous = Matrix(base: y.base, rows: rows, columns: columns / 2, stride: columns / 2)
        backend.swiGLU(x, into: contiguous)
        backend.swiGLUBackward(outGradient: contiguous, gateUpToGradient: x, out: contiguous)
      }
    ),
    (
      "embedding",
      { backend in
        let (ids, weight, out) = (integers(rows, below: 50), random(50 * columns), random(rows * columns))
        backend.embed(ids.buffer, weight: weight.matrix(50, columns), into: out.matrix(rows, columns))
        let sums = Arena<Int64>(count: weight.count)
        #expect(
          backend.accumulateRows(out.matrix(rows, columns), ids: ids.buffer, into: sums.buffer, limit: 2))
        backend.convert(sums.buffer, to: weight.buffer)
        return [out.array, weight.array]
      }
    ),
    (
      "norm",
      { backend in
        let (x, weight, y, dx) = (
          random(rows * columns), random(columns), random(rows * columns), random(rows * columns)
        )
        let (rstd, gradient) = (random(rows), random(columns))
        let matrix = { (arena: Arena<Float>) in arena.matrix(rows, columns) }
        backend.rmsNorm(matrix(x), weight: weight.buffer, epsilon: 1e-5, into: matrix(y), rstd: rstd.buffer)
        backend.rmsNormBackward(
          dy: matrix(y), x: matrix(x), weight: weight.buffer, rstd: rstd.buffer, addingTo: matrix(dx),
          weightGradient: gradient.buffer)
        return [y.array, dx.array, gradient.array]
      }
    ),
    (
      "head norm",
      { backend in
        let (x, weight, y) = (random(rows * columns), random(20), random(rows * columns))
        let (rstd, gradient) = (random(rows * 10), random(20))
        let matrix = { (arena: Arena<Float>) in arena.matrix(rows, columns) }
        backend.headNorm(matrix(x), weight: weight.buffer, epsilon: 1e-5, into: matrix(y), rstd: rstd.buffer)
        let forward = y.array
        backend.headNormBackward(
          gradient: matrix(y), x: matrix(x), weight: weight.buffer, rstd: rstd.buffer, weightGradient: gradient.buffer)
        return [forward, y.array, gradient.array]
      }
    ),
    (
      "norm of a whole projection, and clamping",
      { backend in
        let (x, weight, y) = (random(rows * columns), random(columns), random(rows * columns))
        let (rstd, gradient) = (random(rows), random(columns))
        let outside = integers(Backend.clampWords(rows: rows, columns: columns), below: 2)
        let matrix = { (arena: Arena<Float>) in arena.matrix(rows, columns) }
        backend.headNorm(matrix(x), weight: weight.buffer, epsilon: 1e-5, into: matrix(y), rstd: rstd.buffer)
        backend.clamp(matrix(y), to: 0.4, outside: outside.buffer)
        let forward = y.array
        backend.clampBackward(matrix(y), outside: outside.buffer)
        backend.headNormBackward(
          gradient: matrix(y), x: matrix(x), weight: weight.buffer, rstd: rstd.buffer, weightGradient: gradient.buffer)
        return [forward, y.array, gradient.array]
      }
    ),
    (
      "scaled rows",
      { backend in
        let (x, ids, factors) = (random(rows * columns), integers(rows, below: 64), random(64))
        backend.scaleRows(x.matrix(rows, columns), positions: ids.buffer, factors: factors.buffer)
        return [x.array]
      }
    ),
    (
      "rotate",
      { backend in
        let (x, ids, tables) = (random(rows * columns), integers(rows, below: 64), random(2 * 64 * 10))
        backend.rotate(
          x.matrix(rows, columns), headDimension: 20, positions: ids.buffer,
          cosine: tables.buffer[0..<640].matrix(64, 10), sine: tables.buffer[640..<1280].matrix(64, 10))
        return [x.array]
      }
    ),
    (
      "attention",
      { backend in
        let shape = AttentionShape(
          SequencePacking(lengths: [150, 0, 130]), heads: 4, keyValueHeads: 2, headDimension: 12, window: 90)
        let (qkv, gradient) = (random(280 * shape.columns), random(280 * shape.columns))
        let (out, logSumExp, starts) = (random(280 * 48), random(280 * 4), Arena<Int32>(count: 280))
        backend.attention(
          shape, qkv: qkv.matrix(280, shape.columns), documentStarts: starts.buffer, into: out.matrix(280, 48),
          logSumExp: logSumExp.buffer)
        backend.attentionBackward(
          shape, qkv: qkv.matrix(280, shape.columns), documentStarts: starts.buffer, out: out.matrix(280, 48),
          logSumExp: logSumExp.buffer, outGradient: out.matrix(280, 48),
          qkvGradient: gradient.matrix(280, shape.columns))
        return [out.array, logSumExp.array, gradient.array]
      }
    ),
    (
      "cross-entropy",
      { backend in
        let (hidden, weight, gradient) = (random(rows * 40), random(97 * 40), random(97 * 40))
        let (logits, logProbabilities) = (random(Backend.crossEntropyChunk * 97), random(rows))
        let targets = integers(rows, below: 97)
        backend.crossEntropy(
          hidden: hidden.matrix(rows, 40), weight: weight.matrix(97, 40), targets: targets.buffer,
          logits: logits.buffer,
          logProbabilities: logProbabilities.buffer, backward: ({ _, _ in 0.1 }, gradient.matrix(97, 40)))
        return [hidden.array, gradient.array, logProbabilities.array]
      }
    ),
    (
      "routing",
      { backend in
        let (logits, logSumExp, weights, weightGradient) = (
          random(rows * 8), random(rows), random(rows * 2), random(rows * 2)
        )
        let (experts, permutation, inversePermutation, offsets) = (
          Arena<Int32>(count: rows * 2), Arena<Int32>(count: rows * 2), Arena<Int32>(count: rows * 2),
          Arena<Int32>(count: 9)
        )
        let routing = Routing(
          experts: experts.buffer, weights: weights.buffer, permutation: permutation.buffer,
          inversePermutation: inversePermutation.buffer,
          offsets: offsets.buffer)
        let router = Router(scoring: .softmax, renormalise: true)
        backend.route(logits.matrix(rows, 8), router: router, topK: 2, normaliser: logSumExp.buffer, into: routing)
        let (x, slots, sum) = (random(rows * 30), random(rows * 2 * 30), random(rows * 30))
        backend.gather(x.matrix(rows, 30), routing: routing, topK: 2, into: slots.matrix(2 * rows, 30))
        backend.combine(
          slots.matrix(2 * rows, 30), routing: routing, topK: 2, weighted: true, addingTo: sum.matrix(rows, 30))
        let (activation, gateUp) = (random(rows * 2 * 15), random(rows * 2 * 30))
        backend.weightBackward(
          gradient: slots.matrix(2 * rows, 15), activation: activation.matrix(2 * rows, 15),
          gateUpGradient: gateUp.matrix(2 * rows, 30), weights: weights.matrix(2 * rows, 1),
          weightGradients: weightGradient.matrix(2 * rows, 1))
        backend.routeBackward(
          logits.matrix(rows, 8), router: router, topK: 2, routing: routing, weightGradient: weightGradient.buffer,
          balance: nil, zScale: 0.1, normaliser: logSumExp.buffer)
        let order = inversePermutation.array.map(Float.init)
        return [order, logits.array, logSumExp.array, weights.array, sum.array, activation.array, gateUp.array]
      }
    ),
    (
      "sigmoid routing",
      { backend in
        let experts = 130
        let (logits, normaliser, weights, balance) = (
          random(rows * experts), random(rows), random(rows * 4), random(experts, seed: 3)
        )
        let (sums, bias, weightGradient) = (random(experts), random(experts, seed: 4), random(rows * 4))
        let (chosen, permutation, inversePermutation, offsets) = (
          Arena<Int32>(count: rows * 4), Arena<Int32>(count: rows * 4), Arena<Int32>(count: rows * 4),
          Arena<Int32>(count: experts + 1)
        )
        let routing = Routing(
          experts: chosen.buffer, weights: weights.buffer, permutation: permutation.buffer,
          inversePermutation: inversePermutation.buffer,
          offsets: offsets.buffer)
        let router = Router(
          scoring: .sigmoid, renormalise: true, scalingFactor: 2.5, groups: 10, groupsPerToken: 3)
        let matrix = logits.matrix(rows, experts)
        backend.route(
          matrix, router: router, topK: 4, expertBias: bias.buffer, normaliser: normaliser.buffer, into: routing)
        backend.sumProbabilities(matrix, router: router, normaliser: normaliser.buffer, into: sums.buffer)
        backend.routeBackward(
          matrix, router: router, topK: 4, routing: routing, weightGradient: weightGradient.buffer,
          balance: balance.buffer, zScale: 0, normaliser: normaliser.buffer)
        return [inversePermutation.array.map(Float.init), logits.array, normaliser.array, weights.array, sums.array]
      }
    ),
    (
      "matrix products",
      { backend in
        let (a, b, c) = (random(600 * 70), random(1100 * 70, seed: 2), random(600 * 1100))
        backend.multiply(MatrixProduct(a.matrix(600, 70), b.matrix(1100, 70).transposed, into: c.matrix(600, 1100)))
        let (left, right) = (random(600 * 70), random(1100 * 70))
        backend.multiply([
          MatrixProduct(c.matrix(600, 1100), b.matrix(1100, 70), into: left.matrix(600, 70)),
          MatrixProduct(c.matrix(600, 1100).transposed, a.matrix(600, 70), into: right.matrix(1100, 70)),
        ])
        return [c.array, left.array, right.array]
      }
    ),
    (
      "optimizer",
      { backend in
        let count = 100_003  // several tasks and a rest
        let (gradient, parameters, first, second) = (
          random(count), random(count, seed: 2), random(count), random(count)
        )
        for index in 0..<count { second.buffer[index] = abs(second.buffer[index]) }
        let (sums, squares) = (Arena<Int64>(count: count), Arena<Double>(count: (count + 9999) / 10000))
        #expect(backend.accumulate(gradient.buffer, into: sums.buffer, limit: 2))
        backend.sumsOfSquares(sums.buffer, blockSize: 10000, into: squares.buffer)
        let step = AdamWStep(learningRate: 0.1, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, step: 3)
        backend.adamW(
          step, gradientScale: 0.5, accumulator: sums.buffer, first: first.buffer, second: second.buffer,
          parameters: parameters.buffer)
        return [parameters.array, first.array, second.array, squares.array.map { Float($0) }]
      }
    ),
  ]

  @Test(arguments: kernels.map(\.name))
  func leavesNoTrace(name: String) throws {
    let run = try #require(Self.kernels.first { $0.name == name }).run
    let bits = { (threads: Int) in run(Backend(threads: threads)).map { $0.map(\.bitPattern) } }
    let expected = bits(1)
    for threads in [2, 3, 5] { #expect(bits(threads) == expected, "\(threads) threads") }
  }

  @Test func everyTaskRunsOnce() {
    for threads in [1, 2, 5] {
      let team = ThreadTeam(count: threads)
      let counts = Arena<Int32>(count: 1000)
      for _ in 0..<20 { team.forEach(1000) { task, _ in counts.buffer[task] += 1 } }
      #expect(counts.array.allSatisfy { $0 == 20 })
      team.forEachChunk(of: 999, size: 10) { range, thread in
        #expect(range.count == (range.lowerBound == 990 ? 9 : 10) && thread < threads)
      }
    }
  }
}
