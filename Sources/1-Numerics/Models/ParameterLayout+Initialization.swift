import Kernels
import Support

extension ParameterLayout {
  /// Initialises some ranges of `parameters`: normal with standard deviation `initializerRange` for matrices, one for
  /// norms, zero for biases. An element depends only on the seed, its tensor's name and its index in the tensor, so
  /// every rank initialises its own shards.
  ///
  /// - Parameters:
  ///   - parameters: `[count]`
  ///   - ranges: elements of the arena, ascending and disjoint; nil for all.
  public func initialize(
    _ parameters: Buffer<Float>, ranges: [Range<Int>]? = nil, configuration: ModelConfiguration, seed: UInt64,
    backend: Backend
  ) {
    precondition(parameters.count == count)
    let deviation = Double(configuration.initializerRange)
    for (tensor, part) in parts(of: ranges ?? [0..<count]) {
      let values = parameters[part]
      guard tensor.shape.count >= 2 else {
        values.fill(tensor.role == .norm ? 1 : 0)
        continue
      }
      let random = CounterBasedRandom(seed: seed, stream: Self.stream(of: tensor.name))
      let first = part.lowerBound - tensor.range.lowerBound
      // Box–Muller gives pairs; a part may begin or end inside one.
      let pairs = first / 2..<(first + part.count + 1) / 2
      backend.team.forEachChunk(of: pairs.count, size: 1 << 14) { chunk, _ in
        for pair in chunk.lowerBound + pairs.lowerBound..<chunk.upperBound + pairs.lowerBound {
          let (a, b) = random.normals(UInt64(pair))
          let place = 2 * pair - first
          if place >= 0 { values[place] = Float(a * deviation) }
          if place + 1 < values.count { values[place + 1] = Float(b * deviation) }
        }
      }
    }
  }

  /// The tensors in some ranges of the arena, ascending and disjoint, and which part of each.
  public func parts(of ranges: [Range<Int>]) -> [(tensor: ParameterTensor, part: Range<Int>)] {
    var first = 0
    return ranges.flatMap { range -> [(tensor: ParameterTensor, part: Range<Int>)] in
      while first < tensors.count, tensors[first].range.upperBound <= range.lowerBound { first += 1 }
      return tensors[first...].prefix { $0.range.lowerBound < range.upperBound }.map { tensor in
        (tensor, tensor.range.clamped(to: range))
      }
    }
  }

  /// A tensor's random stream: a hash of its name.
  private static func stream(of name: String) -> UInt64 { FNV1a.hash(name.utf8) }
}
