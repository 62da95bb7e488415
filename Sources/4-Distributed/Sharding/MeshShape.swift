/// The shape of a process mesh: the number of ranks along each axis of parallelism.
///
/// Rank numbers vary fastest along the last axis. Data and expert parallelism are implemented; ranks that differ only
/// along another axis compute the same.
public struct MeshShape: Sendable, Equatable {
  public enum Axis: String, Sendable, CaseIterable {
    /// Ranks with different layers.
    case pipeline
    /// Ranks with the same weights and different micro-batches.
    case data
    /// Ranks with different parts of the same sequences.
    case context
    /// Ranks with different experts of the same layers, and different micro-batches.
    case expert
    /// Ranks with different parts of the same matrices.
    case tensor
  }

  /// The number of ranks along each axis.
  public let sizes: [Axis: Int]

  /// The shape of a mesh of `ranks` ranks; the data axis is the quotient of the others.
  ///
  /// - Parameter ranks: a multiple of the other axes' sizes.
  public init(ranks: Int, expert: Int = 1, tensor: Int = 1, context: Int = 1, pipeline: Int = 1) {
    let others = expert * tensor * context * pipeline
    precondition(others > 0 && ranks > 0 && ranks % others == 0, "the axes divide the number of ranks")
    sizes = [.pipeline: pipeline, .data: ranks / others, .context: context, .expert: expert, .tensor: tensor]
  }

  public func size(of axis: Axis) -> Int { sizes[axis] ?? 1 }

  /// The number of ranks of the mesh.
  public var ranks: Int { Axis.allCases.reduce(1) { $0 * size(of: $1) } }

  /// The coordinate of a rank.
  public func coordinate(ofRank rank: Int) -> Coordinate {
    precondition(rank >= 0 && rank < ranks, "a rank of the mesh")
    var rest = rank
    var places: [Axis: Int] = [:]
    for axis in Axis.allCases.reversed() {
      places[axis] = rest % size(of: axis)
      rest /= size(of: axis)
    }
    return Coordinate(places: places)
  }

  /// The index of a coordinate among those that differ only along `axes`, varying fastest along the last.
  public func index(of coordinate: Coordinate, along axes: [Axis]) -> Int {
    Axis.allCases.filter(axes.contains).reduce(0) { $0 * size(of: $1) + coordinate[$1] }
  }

  /// A rank's index along each axis.
  public struct Coordinate: Sendable, Equatable {
    private let places: [Axis: Int]

    init(places: [Axis: Int]) { self.places = places }

    public subscript(axis: Axis) -> Int { places[axis] ?? 0 }
  }
}
