import Kernels

/// A routing and its memory.
struct Routed {
  let k: Int
  let router: Router
  let scores: Arena<Float>
  let normaliser: Arena<Float>
  let weights: Arena<Float>
  let integers: Arena<Int32>
  let routing: Routing
  let matrix: Matrix

  /// - Parameter logits: `[tokens, experts]`, row by row.
  init(_ logits: [Float], experts: Int, k: Int, router: Router, expertBias: [Float]? = nil, threads: Int = 2) {
    let tokens = logits.count / experts
    let slots = tokens * k
    self.k = k
    self.router = router
    scores = Arena(logits)
    normaliser = Arena(count: tokens)
    weights = Arena(count: slots)
    integers = Arena(count: 3 * slots + experts + 1)
    let part = { [integers] index in integers.buffer[index * slots..<(index + 1) * slots] }
    routing = Routing(
      experts: part(0), weights: weights.buffer, permutation: part(1), inversePermutation: part(2),
      offsets: integers.buffer[3 * slots..<3 * slots + experts + 1])
    matrix = scores.matrix(tokens, experts)
    let bias = expertBias.map { Arena($0) }
    Backend(threads: threads).route(
      matrix, router: router, topK: k, expertBias: bias?.buffer, normaliser: normaliser.buffer, into: routing)
    withExtendedLifetime(bias) {}
  }

  init(_ logits: [Float], experts: Int, k: Int, renormalise: Bool) {
    self.init(logits, experts: experts, k: k, router: Router(scoring: .softmax, renormalise: renormalise))
  }

  var experts: [Int32] { withExtendedLifetime(integers) { routing.experts.array() } }
  var counts: [Int] {
    withExtendedLifetime(integers) { (0..<matrix.columns).map { routing.rows(ofExpert: $0).count } }
  }
}
