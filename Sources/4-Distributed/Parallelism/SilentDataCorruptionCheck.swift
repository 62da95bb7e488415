public import Kernels
import MPI
import Models

/// Silent data corruption (SDC) check of parameters: replicas must be equal bit for bit, and a shard must not change
/// between updates.
///
/// After an update each owner stores a fingerprint of its shards. Just before the next update, when the parameters have
/// been used, every rank fingerprints its replicas, and a small max-reduction in each group compares them. It does not
/// detect a change between an owner's update and its fingerprint, or one in the moments.
public final class SilentDataCorruptionCheck {
  public struct Damage: Sendable {
    /// Ranks with corrupt parameters.
    public var ranks: [Int]
    /// Whether every owner's shards are sound, so that the replicas can be recovered from them.
    public var ownersAreSound: Bool
  }

  private let state: ShardedParameters
  private let parameters: Buffer<Float>
  private let backend: Backend
  /// By group, the fingerprint of this rank's shards after the last update.
  private var witnesses: [UInt64] = []

  public init(state: ShardedParameters, parameters: Buffer<Float>, backend: Backend) {
    self.state = state
    self.parameters = parameters
    self.backend = backend
  }

  /// Fingerprints this rank's shards; after an update, and before the first.
  public func remember() {
    witnesses = state.groups.indices.map { fingerprint(of: state.groups[$0].rank, inGroup: $0) }
  }

  /// Compares all replicas. Collective; before an update, when gradients are complete.
  ///
  /// - Returns: nil when all are sound; the same on every rank.
  /// - Throws: `MPIError`.
  public func compare() throws -> Damage? {
    precondition(!witnesses.isEmpty, "nothing was remembered to compare with")
    let found = state.groups.indices.map { group in
      (0..<state.groups[group].size).map { copy(of: $0, inGroup: group) }
    }
    // All values are equal when the max equals the min, which is the complement of the max complement.
    var isSound = true
    for group in state.groups.indices.dropFirst() where state.holdsUnits(inGroup: group) {
      isSound = try agree(found[group], witness: witnesses[group], state.groups[group], isSound) && isSound
    }
    // The first group has all ranks that the parameters are sharded over, and also reduces the other groups' verdicts.
    isSound = try agree(found[0], witness: witnesses[0], state.groups[0], isSound)
    if state.world.size > state.groups[0].size {
      isSound = try state.world.allReduce(isSound ? 0 : 1 as Int64, .max) == 0
    }
    return isSound ? nil : try judge(found)
  }

  private func agree(
    _ values: [UInt64?], witness: UInt64, _ group: Communicator, _ isSound: Bool
  ) throws -> Bool {
    var largest = values.map { $0 ?? 0 } + values.map { $0.map(~) ?? 0 } + [isSound ? 0 : 1]
    let (mine, complement) = (group.rank, group.size + group.rank)
    largest[mine] = max(largest[mine], witness)
    largest[complement] = max(largest[complement], ~witness)
    try largest.withUnsafeMutableBufferPointer { try group.allReduce(arena: $0, .max) }
    return largest.last == 0 && (0..<group.size).allSatisfy { largest[$0] == ~largest[group.size + $0] }
  }

  /// Determines which ranks' replicas changed.
  private func judge(_ found: [[UInt64?]]) throws -> Damage {
    let world = state.world
    // By world rank: 1 for a corrupt replica, 2 for a corrupt shard of its own.
    var marks = [UInt64](repeating: 0, count: world.size)
    for (place, group) in state.groups.enumerated() where place == 0 || state.holdsUnits(inGroup: place) {
      let copies = try gather(found[place].map { $0 ?? 0 }, over: group)
      let names = try gather([UInt64(world.rank)], over: group).map { Int($0[0]) }
      let witnesses = try gather([witnesses[place]], over: group).map { $0[0] }
      for owner in 0..<group.size {
        let values = state.shardingPlan.stage == .full ? [copies[owner][owner]] : copies.map { $0[owner] }
        let members = values.count == 1 ? [owner] : Array(values.indices)
        let (changed, isOwnerSound) = verdict(
          values, owner: values.count == 1 ? 0 : owner, witness: witnesses[owner])
        for index in changed { marks[names[members[index]]] = max(marks[names[members[index]]], 1) }
        if !isOwnerSound { marks[names[owner]] = 2 }
      }
    }
    try marks.withUnsafeMutableBufferPointer { try world.allReduce(arena: $0, .max) }
    return Damage(ranks: marks.indices.filter { marks[$0] > 0 }, ownersAreSound: marks.allSatisfy { $0 < 2 })
  }

  /// Which replicas of one owner's shards changed, and whether the owner's own are sound.
  private func verdict(_ values: [UInt64], owner: Int, witness: UInt64) -> (changed: [Int], isOwnerSound: Bool) {
    guard Set(values + [witness]).count > 1 else { return ([], true) }
    guard state.shardingPlan.stage == .none else {
      // The replicas were sent by the owner after its update, so its fingerprint decides.
      guard values[owner] == witness else { return ([owner], false) }
      return (values.indices.filter { values[$0] != witness }, true)
    }
    // Every rank has updated its replica independently, so the majority decides; two cannot be decided.
    guard let truth = values.first(where: { value in 2 * values.count { $0 == value } > values.count }) else {
      return (Array(values.indices), false)
    }
    return (values.indices.filter { values[$0] != truth }, values[owner] == truth)
  }

  private func gather(_ values: [UInt64], over group: Communicator) throws -> [[UInt64]] {
    var all = [UInt64](repeating: 0, count: values.count * group.size)
    var span = all.mutableSpan
    try group.allGather(from: values.span, into: &span)
    return (0..<group.size).map { Array(all[$0 * values.count..<($0 + 1) * values.count]) }
  }

  /// The fingerprint of this rank's replica of a member's shards; nil where it has none.
  private func copy(of member: Int, inGroup group: Int) -> UInt64? {
    state.shardingPlan.stage == .full && member != state.groups[group].rank
      ? nil : fingerprint(of: member, inGroup: group)
  }

  private func fingerprint(of member: Int, inGroup group: Int) -> UInt64 {
    state.shards(by: member, inGroup: group).reduce(0) { hash, range in
      (hash &* 0x100_0000_01b3) ^ backend.fingerprint(parameters[range])
    }
  }
}
