import Kernels

/// A decoder's weights packed for matrix products: each weight of a linear layer at its first use, kept for as long as
/// the parameters are the same.
///
/// The backward pass reads the plain weights, so this is the only copy.
final class PackedWeights {
  private let memory: Arena<Float>
  private struct Place {
    let range: Range<Int>
    let unit: Int
  }
  /// The places of packed matrices, by where the plain ones begin among the parameters.
  private let places: [Int: Place]
  private var packed: Set<Int> = []

  /// - Parameter hugePages: see `Arena`.
  init(_ configuration: ModelConfiguration, _ layout: ParameterLayout, hugePages: Bool) {
    var places: [Int: Place] = [:]
    var count = 0
    for (parameters, rows, columns, unit) in Self.matrices(configuration, layout) {
      let size = PackedMatrix.floats(columns: rows, inner: columns)
      places[parameters] = Place(range: count..<count + size, unit: unit)
      count += size
    }
    self.places = places
    memory = Arena(count: count, hugePages: hugePages)
  }

  /// The weights of all linear layers, `[rows, columns]`.
  private static func matrices(
    _ c: ModelConfiguration, _ layout: ParameterLayout
  ) -> [(parameters: Int, rows: Int, columns: Int, unit: Int)] {
    var matrices: [(Int, Int, Int, Int)] = []
    for (layer, block) in layout.blocks.enumerated() {
      let unit = layout.blockUnit(layer)
      matrices.append((block.queryKeyValue.lowerBound, c.queryKeyValueColumns, c.hiddenSize, unit))
      matrices.append((block.output.lowerBound, c.hiddenSize, c.queryColumns, unit))
      if layout.hasFeedForward(layer) {
        let width = c.denseWidth(layer: layer)
        matrices.append((block.gateUp.lowerBound, 2 * width, c.hiddenSize, unit))
        matrices.append((block.down.lowerBound, c.hiddenSize, width, unit))
      }
      guard let experts = c.experts, let expertsUnit = layout.expertsUnit(layer) else { continue }
      matrices.append((block.router.lowerBound, experts.count, c.hiddenSize, unit))
      for expert in 0..<experts.count {
        let start = layout.experts(expert..<expert + 1, layer: layer).lowerBound
        let width = experts.intermediateSize
        matrices.append((start, 2 * width, c.hiddenSize, expertsUnit))
        matrices.append((start + 2 * width * c.hiddenSize, c.hiddenSize, width, expertsUnit))
      }
    }
    matrices.append((layout.head.lowerBound, c.vocabularySize, c.hiddenSize, layout.headUnit))
    return matrices
  }

  /// The packed weight that begins at a place among the parameters, packed now if it is not yet.
  func matrix(_ weight: Matrix, at start: Int, backend: Backend) -> PackedMatrix {
    guard let place = places[start] else { preconditionFailure("no weight of a linear layer") }
    let matrix = PackedMatrix(memory.buffer[place.range], columns: weight.rows, inner: weight.columns)
    if packed.insert(start).inserted { backend.pack(weight, into: matrix) }
    return matrix
  }

  /// The parameters have changed.
  func invalidate() { packed.removeAll(keepingCapacity: true) }

  /// Frees the packed weights of a unit whose parameters are released.
  func discard(unit: Int) {
    for (start, place) in places where place.unit == unit && packed.contains(start) {
      packed.remove(start)
      memory.discard(place.range)
    }
  }
}
