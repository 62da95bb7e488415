import Kernels

/// The kernels of a training step, at sizes of a small model: matrices that fit caches, rows that do not. Cases are valid
/// while this is alive.
struct KernelCases {
  let backend: Backend
  private let operands = Operands()

  /// Rows and columns of memory-bound cases: 32 MiB an array.
  private let rows = 8192
  private let columns = 1024

  init(_ backend: Backend) { self.backend = backend }

  var all: [KernelCase] {
    products + attention + [crossEntropy, newtonSchulz] + normalization + activation + [rotary] + experts
      + [fixedPoint, adamW]
  }

  private var products: [KernelCase] {
    let (tokens, inner, outer) = (528, 1024, 1024)
    let work = 2 * Double(tokens * inner * outer)
    let x = operands.matrix(tokens, inner)
    let weight = operands.matrix(outer, inner)
    let y = operands.matrix(tokens, outer)
    let gradient = operands.matrix(outer, inner)
    return [
      KernelCase(name: "matrix product", bound: .arithmetic, work: work) { [backend] in
        backend.multiply(MatrixProduct(x, weight.transposed, into: y))
      },
      KernelCase(name: "matrix product, gradient of a weight", bound: .arithmetic, work: work) { [backend] in
        backend.multiply(MatrixProduct(y.transposed, x, into: gradient))
      },
    ]
  }

  private var attention: [KernelCase] {
    let (sequences, length, heads, keyValueHeads, dimension) = (2, 768, 8, 4, 64)
    let shape = AttentionShape(
      SequencePacking(sequences: sequences, length: length), heads: heads, keyValueHeads: keyValueHeads,
      headDimension: dimension)
    let tokens = sequences * length
    let qkv = operands.matrix(tokens, shape.columns)
    let starts: Buffer<Int32> = operands.integers(tokens)
    let out = operands.matrix(tokens, heads * dimension)
    let logSumExp = operands.floats(tokens * heads)
    let outGradient = operands.matrix(tokens, heads * dimension)
    let qkvGradient = operands.matrix(tokens, shape.columns)
    // A product of a query and a key that it sees.
    let product = 2 * Double(sequences * length * (length + 1) / 2 * heads * dimension)
    return [
      KernelCase(name: "attention", bound: .arithmetic, work: 2 * product) { [backend] in
        backend.attention(shape, qkv: qkv, documentStarts: starts, into: out, logSumExp: logSumExp)
      },
      KernelCase(name: "attention, backward", bound: .arithmetic, work: 5 * product) { [backend] in
        backend.attentionBackward(
          shape, qkv: qkv, documentStarts: starts, out: out, logSumExp: logSumExp, outGradient: outGradient,
          qkvGradient: qkvGradient)
      },
    ]
  }

  private var crossEntropy: KernelCase {
    let (tokens, hidden, vocabulary) = (Backend.crossEntropyChunk, 512, 4096)
    let kept = operands.matrix(tokens, hidden)
    let states = operands.matrix(tokens, hidden)
    let weight = operands.matrix(vocabulary, hidden, scale: 0.1)
    let targets: Buffer<Int32> = operands.integers(tokens) { Int32($0 % vocabulary) }
    let logits = operands.floats(tokens * vocabulary)
    let logProbabilities = operands.floats(tokens)
    let gradient = operands.matrix(vocabulary, hidden)
    return KernelCase(
      name: "cross entropy, forward and backward", bound: .arithmetic, work: 6 * Double(tokens * hidden * vocabulary),
      prepare: { states.copy(from: kept) }
    ) { [backend] in
      backend.crossEntropy(
        hidden: states, weight: weight, targets: targets, logits: logits, logProbabilities: logProbabilities,
        backward: ({ _, _ in 0.01 }, gradient))
    }
  }

  private var newtonSchulz: KernelCase {
    let side = 512
    let matrix = operands.matrix(side, side)
    let scratch = operands.floats(NewtonSchulz.scratchFloats(rows: side, columns: side))
    return KernelCase(
      name: "Newton-Schulz iteration", bound: .arithmetic,
      work: 6 * Double(NewtonSchulz.defaultSteps * side * side * side)
    ) { [backend] in
      backend.orthogonalise([matrix], scratch: scratch)
    }
  }

  private var normalization: [KernelCase] {
    let x = operands.matrix(rows, columns)
    let y = operands.matrix(rows, columns)
    let gradient = operands.matrix(rows, columns)
    let weight = operands.floats(columns)
    let weightGradient = operands.floats(columns)
    let rstd = operands.floats(rows)
    let elements = Double(rows * columns)
    return [
      KernelCase(name: "RMSNorm", bound: .memory, work: 8 * elements) { [backend] in
        backend.rmsNorm(x, weight: weight, epsilon: 1e-6, into: y, rstd: rstd)
      },
      KernelCase(name: "RMSNorm, backward", bound: .memory, work: 16 * elements) { [backend] in
        backend.rmsNormBackward(
          dy: y, x: x, weight: weight, rstd: rstd, addingTo: gradient, weightGradient: weightGradient)
      },
    ]
  }

  private var activation: [KernelCase] {
    let kept = operands.matrix(rows, 2 * columns)
    let gateUp = operands.matrix(rows, 2 * columns)
    let out = operands.matrix(rows, columns)
    let gradient = operands.matrix(rows, columns)
    let elements = Double(rows * columns)
    return [
      KernelCase(name: "SwiGLU", bound: .memory, work: 12 * elements) { [backend] in
        backend.swiGLU(kept, into: out)
      },
      KernelCase(
        name: "SwiGLU, backward", bound: .memory, work: 24 * elements, prepare: { gateUp.copy(from: kept) }
      ) { [backend] in
        backend.swiGLUBackward(outGradient: gradient, gateUpToGradient: gateUp, out: out)
      },
    ]
  }

  private var rotary: KernelCase {
    let (dimension, positions) = (64, 1024)
    let x = operands.matrix(rows, columns)
    let places: Buffer<Int32> = operands.integers(rows) { Int32($0 % positions) }
    // cos 0.5 and sin 0.5 everywhere, so that repeated rotation keeps lengths.
    let (cosine, sine) = (operands.matrix(positions, dimension / 2), operands.matrix(positions, dimension / 2))
    for row in 0..<positions * dimension / 2 {
      (cosine.base[row], sine.base[row]) = (0.877_582_6, 0.479_425_5)
    }
    return KernelCase(name: "rotary embedding", bound: .memory, work: 8 * Double(rows * columns)) { [backend] in
      backend.rotate(x, headDimension: dimension, positions: places, cosine: cosine, sine: sine)
    }
  }

  /// The router's choice, and rows to the experts and back.
  private var experts: [KernelCase] {
    let (count, k, hidden) = (64, 2, 1024)
    let tokens = rows
    let slots = tokens * k
    let kept = operands.matrix(tokens, count)
    let logits = operands.matrix(tokens, count)
    let normaliser = operands.floats(tokens)
    let routing = Routing(
      experts: operands.integers(slots), weights: operands.floats(slots), permutation: operands.integers(slots),
      inversePermutation: operands.integers(slots), offsets: operands.integers(count + 1))
    let x = operands.matrix(tokens, hidden)
    let y = operands.matrix(tokens, hidden)
    let gathered = operands.matrix(slots, hidden)
    let router = Router(scoring: .softmax, renormalise: true)
    return [
      // Scores are read and written.
      KernelCase(
        name: "routing", bound: .memory, work: 8 * Double(tokens * count), prepare: { logits.copy(from: kept) }
      ) { [backend] in
        backend.route(logits, router: router, topK: k, normaliser: normaliser, into: routing)
      },
      KernelCase(name: "gathering rows by expert", bound: .memory, work: Double(4 * (tokens + slots) * hidden)) {
        [backend] in
        backend.gather(x, routing: routing, topK: k, into: gathered)
      },
      KernelCase(name: "combining rows of experts", bound: .memory, work: Double(4 * (slots + 2 * tokens) * hidden)) {
        [backend] in
        backend.combine(gathered, routing: routing, topK: k, weighted: true, addingTo: y)
      },
    ]
  }

  private var fixedPoint: KernelCase {
    let count = rows * columns
    let gradient = operands.floats(count, scale: 0.01)
    let sums: Buffer<Int64> = operands.integers(count)
    return KernelCase(name: "exact accumulation", bound: .memory, work: 20 * Double(count)) { [backend] in
      precondition(backend.accumulate(gradient, into: sums, limit: 1), "a gradient was refused")
    }
  }

  private var adamW: KernelCase {
    let count = rows * columns
    let sums: Buffer<Int64> = operands.integers(count) { Int64($0 % 1000) << 40 }
    let (first, second) = (operands.floats(count), operands.floats(count))
    second.fill(1)
    let parameters = operands.floats(count)
    let step = AdamWStep(learningRate: 1e-4, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, step: 10)
    return KernelCase(name: "AdamW", bound: .memory, work: 32 * Double(count)) { [backend] in
      backend.adamW(
        step, gradientScale: 1, accumulator: sums, first: first, second: second, parameters: parameters)
    }
  }
}
