public import Kernels
import MPI
import Models

/// Finds memory that has changed by itself: ranks' copies of the same parameters must be equal bit for bit, and what a
/// rank owns must be what its last update made it.
///
/// After an update each owner keeps a fingerprint of what it owns. Just before the next update, when the parameters have
/// done their work, every rank takes the fingerprints of its copies, and one reduction of some words tells whether all
/// agree. What it cannot see is a change between an owner's update and its fingerprint, or within the moments.
public final class SilentDataCorruptionCheck {
  public struct Damage: Sendable {
    /// Ranks whose parameters are not what their owners made them.
    public var ranks: [Int]
    /// Whether every owner's own part is sound, so that the others can be had from there.
    public var ownersAreSound: Bool
  }

  private let state: ShardedParameters
  private let parameters: Buffer<Float>
  private let backend: Backend
  /// By group, of this rank's own parts after the last update.
  private var witnesses: [UInt64] = []

  public init(state: ShardedParameters, parameters: Buffer<Float>, backend: Backend) {
    self.state = state
    self.parameters = parameters
    self.backend = backend
  }

  /// Takes the fingerprints of what this rank owns; after an update, and before the first.
  public func remember() {
    witnesses = state.groups.indices.map { fingerprint(of: state.groups[$0].rank, inGroup: $0) }
  }

  /// Compares all copies. Collective; before an update, when gradients are complete.
  ///
  /// - Returns: nil when all is well; the same on every rank.
  /// - Throws: `MPIError`.
  public func compare() throws -> Damage? {
    precondition(!witnesses.isEmpty, "nothing was remembered to compare with")
    let found = state.groups.indices.map { group in
      (0..<state.groups[group].size).map { copy(of: $0, inGroup: group) }
    }
    // The largest value and the smallest, which is the complement of the largest complement, are one: all are equal.
    var isSound = true
    for group in state.groups.indices.dropFirst() where state.holdsUnits(inGroup: group) {
      isSound = try agree(found[group], witness: witnesses[group], state.groups[group], isSound) && isSound
    }
    // The first group has all ranks that the parameters are spread over: there the others' verdicts are told too.
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

  /// Whose copies changed.
  private func judge(_ found: [[UInt64?]]) throws -> Damage {
    let world = state.world
    // By rank of the job: 1 for a copy that changed, 2 for what the rank owns itself.
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

  /// Which of the copies of one owner's part changed, and whether the owner's own is to be trusted.
  private func verdict(_ values: [UInt64], owner: Int, witness: UInt64) -> (changed: [Int], isOwnerSound: Bool) {
    guard Set(values + [witness]).count > 1 else { return ([], true) }
    guard state.shardingPlan.stage == .none else {
      // The copies are the owner's: they are what it made them, or what it was when they were sent.
      guard values[owner] == witness else { return ([owner], false) }
      return (values.indices.filter { values[$0] != witness }, true)
    }
    // Every rank has computed its copy by itself, so most of them are right; of two, nobody can tell.
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

  /// Of this rank's copy of what a member of a group owns; nil where it keeps none.
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
