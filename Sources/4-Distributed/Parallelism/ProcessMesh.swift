public import MPI
public import Sharding

/// The device mesh of a job: its ranks along named axes, such as data × expert.
///
/// Ranks that differ only in their coordinate along an axis form a group of that axis, with its own communicator. An
/// axis has size 1 by default, and its group is then the rank alone.
public struct ProcessMesh: Sendable {
  public typealias Axis = MeshShape.Axis

  public let shape: MeshShape
  /// This rank's coordinate along each axis.
  public let coordinate: MeshShape.Coordinate
  /// All ranks of the mesh, for what all of them do together. What is computed never depends on a rank of this group.
  public let world: Communicator
  /// The ranks among which the micro-batches of a global batch are divided: those of the data and the expert axis.
  public let batch: Communicator
  /// Whether this rank is the first along every axis but those of `batch`: one of the ranks that compute the same.
  public let isFirstOfDuplicates: Bool
  private let groups: [Axis: Communicator]

  /// Arranges the ranks of `world`. Collective.
  ///
  /// - Throws: `MPIError`.
  public init(world: Communicator, shape: MeshShape) throws {
    precondition(shape.ranks == world.size, "a mesh has all ranks")
    let coordinate = shape.coordinate(ofRank: world.rank)
    func split(along axes: [Axis], name: String) throws -> Communicator {
      let others = Axis.allCases.filter { !axes.contains($0) }
      let group = try world.split(
        color: shape.index(of: coordinate, along: others), key: shape.index(of: coordinate, along: axes), name: name)
      guard let group else { preconditionFailure("every rank has a color") }
      return group
    }
    self.shape = shape
    self.coordinate = coordinate
    self.world = world
    let others = Axis.allCases.filter { $0 != .data && $0 != .expert }
    isFirstOfDuplicates = others.allSatisfy { coordinate[$0] == 0 }
    batch =
      others.allSatisfy { shape.size(of: $0) == 1 } ? world : try split(along: [.data, .expert], name: "batch")
    // Axes of size 1 share the group of the rank alone.
    var groups: [Axis: Communicator] = [:]
    for axis in Axis.allCases where shape.size(of: axis) > 1 {
      groups[axis] = try split(along: [axis], name: axis.rawValue)
    }
    let alone = try split(along: [], name: "alone")
    for axis in Axis.allCases where shape.size(of: axis) == 1 { groups[axis] = alone }
    self.groups = groups
  }

  /// Arranges the ranks of `world` along the data and the expert axis. Collective.
  ///
  /// - Parameter expert: the size of the expert axis, which divides the number of ranks; the data axis is the quotient.
  public init(world: Communicator, expert: Int) throws {
    try self.init(world: world, shape: MeshShape(ranks: world.size, expert: expert))
  }

  /// The number of ranks along `axis`.
  public func size(of axis: Axis) -> Int { shape.size(of: axis) }

  /// This rank's coordinate along `axis`.
  public func place(along axis: Axis) -> Int { coordinate[axis] }

  /// The communicator of this rank's group along `axis`.
  public subscript(axis: Axis) -> Communicator {
    guard let group = groups[axis] else { preconditionFailure("every axis has a group") }
    return group
  }
}
