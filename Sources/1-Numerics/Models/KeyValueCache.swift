import Kernels

/// The key-value cache of one sequence, layer by layer, allocated once for the longest sequence.
final class KeyValueCache {
  /// Rows of a layer: the requested tokens, rounded up to whole attention blocks.
  let capacity: Int
  /// Tokens held. Rows behind them may hold stale values of an earlier, longer sequence.
  var count = 0
  private let columns: Int
  private let memory: Arena<Float>

  init(_ configuration: ModelConfiguration, capacity: Int) {
    self.capacity = Self.rows(capacity)
    columns = configuration.keyValueColumns
    memory = Arena(count: Self.floats(configuration, capacity: capacity))
  }

  /// Elements that a cache for `capacity` tokens allocates.
  static func floats(_ configuration: ModelConfiguration, capacity: Int) -> Int {
    configuration.layers * rows(capacity) * 2 * configuration.keyValueColumns
  }

  /// Rows of a layer that holds `capacity` tokens.
  static func rows(_ capacity: Int) -> Int {
    (capacity + Backend.cacheRowMultiple - 1) / Backend.cacheRowMultiple * Backend.cacheRowMultiple
  }

  /// A layer's keys and values, side by side as in the fused matrix: `[capacity, 2 · keyValueColumns]`.
  private func rows(_ layer: Int) -> Matrix {
    let size = capacity * 2 * columns
    return memory.buffer[layer * size..<(layer + 1) * size].matrix(capacity, 2 * columns)
  }

  func keys(_ layer: Int) -> Matrix { rows(layer).columns(0..<columns) }
  func values(_ layer: Int) -> Matrix { rows(layer).columns(columns..<2 * columns) }

  /// Appends new tokens' keys and values `[tokens, 2 · keyValueColumns]`; the caller increases `count` after the last
  /// layer.
  func store(_ keyValues: Matrix, layer: Int, backend: Backend) {
    precondition(count + keyValues.rows <= capacity, "more tokens than the cache was made for")
    backend.copy(keyValues, to: rows(layer).rows(count..<count + keyValues.rows))
  }
}
