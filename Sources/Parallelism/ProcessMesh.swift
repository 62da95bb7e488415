public import MPI

/// The ranks of a job arranged along named axes, such as `data` × `expert`.
///
/// Rank numbers run fastest along the last axis. Ranks that differ only in their place along an axis form one group of
/// that axis, with a communicator of its own. Where nothing is asked for, an axis has size 1 and its group is the rank
/// alone.
public struct ProcessMesh: Sendable {
  public enum Axis: String, Sendable, CaseIterable {
    /// Ranks that hold the same weights and see different micro-batches.
    case data
    /// Ranks that hold different experts of the same layers.
    case expert
  }

  /// All ranks of the mesh.
  public let world: Communicator
  private let groups: [Axis: Communicator]

  /// Arranges the ranks of `world`. Collective.
  ///
  /// - Parameter expert: the size of the expert axis, which divides the number of ranks; the data axis has the rest.
  /// - Throws: `MPIError`.
  public init(world: Communicator, expert: Int = 1) throws {
    precondition(expert > 0 && world.size % expert == 0, "the expert axis divides the number of ranks")
    self.world = world
    let dataPlace = world.rank / expert
    let expertPlace = world.rank % expert
    var groups: [Axis: Communicator] = [:]
    // A group is made of those with the same place along the other axis.
    groups[.data] = try world.split(color: expertPlace, key: dataPlace, name: "data")
    groups[.expert] = try world.split(color: dataPlace, key: expertPlace, name: "expert")
    self.groups = groups
  }

  /// The communicator of this rank's group along `axis`.
  public subscript(axis: Axis) -> Communicator {
    guard let group = groups[axis] else { preconditionFailure("every axis has a group") }
    return group
  }

  /// The number of ranks along `axis`.
  public func size(of axis: Axis) -> Int { self[axis].size }

  /// This rank's place along `axis`.
  public func place(along axis: Axis) -> Int { self[axis].rank }
}
