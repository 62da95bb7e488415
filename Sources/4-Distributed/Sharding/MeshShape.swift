/// The shape of a process mesh: how many ranks there are along each axis of parallelism.
///
/// Rank numbers run fastest along the last axis. Training is data- and expert-parallel; along the other axes there is room
/// for what is to come, and a mesh that has one of them above 1 computes the same thing at all of its places.
public struct MeshShape: Sendable, Equatable {
  public enum Axis: String, Sendable, CaseIterable {
    /// Ranks that hold different layers.
    case pipeline
    /// Ranks that hold the same weights and see different micro-batches.
    case data
    /// Ranks that hold different parts of the same sequences.
    case context
    /// Ranks that hold different experts of the same layers.
    case expert
    /// Ranks that hold different parts of the same matrices.
    case tensor
  }

  /// Along each axis.
  public let sizes: [Axis: Int]

  /// Arranges some ranks; the data axis has what the others leave.
  ///
  /// - Parameter ranks: a multiple of the other axes' sizes.
  public init(ranks: Int, expert: Int = 1, tensor: Int = 1, context: Int = 1, pipeline: Int = 1) {
    let others = expert * tensor * context * pipeline
    precondition(others > 0 && ranks > 0 && ranks % others == 0, "the axes divide the number of ranks")
    sizes = [.pipeline: pipeline, .data: ranks / others, .context: context, .expert: expert, .tensor: tensor]
  }

  public func size(of axis: Axis) -> Int { sizes[axis] ?? 1 }

  /// The ranks of the mesh.
  public var ranks: Int { Axis.allCases.reduce(1) { $0 * size(of: $1) } }

  /// Where a rank of the mesh is.
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

  /// The number of a coordinate among those that differ only along some axes, counted fastest along the last.
  public func index(of coordinate: Coordinate, along axes: [Axis]) -> Int {
    Axis.allCases.filter(axes.contains).reduce(0) { $0 * size(of: $1) + coordinate[$1] }
  }

  /// A rank's place along each axis.
  public struct Coordinate: Sendable, Equatable {
    private let places: [Axis: Int]

    init(places: [Axis: Int]) { self.places = places }

    public subscript(axis: Axis) -> Int { places[axis] ?? 0 }
  }
}
