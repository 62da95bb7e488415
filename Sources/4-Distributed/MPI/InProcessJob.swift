internal import Support
import Synchronization

/// The shared state of a job of in-process ranks: which have ended, the first failure, and the lock.
///
/// All mutable state is guarded by `monitor`, hence `@unchecked`.
final class InProcessJob: @unchecked Sendable {
  /// The state of an operation.
  enum Outcome {
    case open
    case complete
    case failed(MPIError)
  }

  let timeout: Duration
  private let monitor = Monitor()
  private var hasEnded: [Bool]
  private var failure: (rank: Int, error: any Error)?

  init(ranks: Int, timeout: Duration) {
    hasEnded = .init(repeating: false, count: ranks)
    self.timeout = timeout
  }

  // MARK: Ranks

  /// Records that a rank's body has ended, with or without an error; the first error becomes the job's.
  func end(_ rank: Int, _ error: (any Error)? = nil) {
    monitor.locked {
      hasEnded[rank] = true
      if let error, failure == nil { failure = (rank, error) }
      monitor.broadcast()
    }
  }

  var firstError: (any Error)? { monitor.locked { failure?.error } }

  // MARK: Meetings

  /// Adds this rank's contribution to an operation.
  ///
  /// - Throws: when any rank has failed, or this rank's body has returned.
  func join(_ group: InProcessGroup, _ operation: Operation, _ contribution: Contribution, rank: Int) throws(MPIError)
    -> Meeting
  {
    try monitor.locked { () throws(MPIError) in
      let member = group.members[rank]
      if let failure { throw consequence(of: failure, group, operation) }
      if hasEnded[member] {
        throw group.error(operation, "is begun by rank \(member), which has returned", isMisuse: true)
      }
      let meeting = group.meetings[operation.number] ?? Meeting(ranks: group.members.count)
      group.meetings[operation.number] = meeting
      meeting.join(contribution, rank: rank, group, operation)
      // Waiting ranks hold the meeting; it is not looked up again.
      if meeting.isComplete { group.meetings[operation.number] = nil }
      monitor.broadcast()
      return meeting
    }
  }

  /// Waits until all ranks have joined a meeting.
  ///
  /// - Throws: when the operation cannot complete: a mismatch, a failed or returned rank, or the timeout.
  func wait(for meeting: Meeting, _ group: InProcessGroup, _ operation: Operation) throws(MPIError) {
    try monitor.locked { () throws(MPIError) in
      while true {
        switch outcome(of: meeting, group, operation) {
        case .complete: return
        case .failed(let error): throw error
        case .open: monitor.wait(milliseconds: 50)  // the timeout expires without a broadcast
        }
      }
    }
  }

  func isComplete(_ meeting: Meeting, _ group: InProcessGroup, _ operation: Operation) throws(MPIError) -> Bool {
    try monitor.locked { () throws(MPIError) in
      switch outcome(of: meeting, group, operation) {
      case .complete: true
      case .failed(let error): throw error
      case .open: false
      }
    }
  }

  private func outcome(of meeting: Meeting, _ group: InProcessGroup, _ operation: Operation) -> Outcome {
    if let mismatch = meeting.mismatch { return .failed(mismatch) }
    if meeting.isComplete { return .complete }
    if let failure { return .failed(consequence(of: failure, group, operation)) }
    let missing = meeting.missing.map { group.members[$0] }
    if let gone = missing.first(where: { hasEnded[$0] }) {
      return .failed(group.error(operation, "waits for rank \(gone), which has returned", isMisuse: true))
    }
    guard ContinuousClock.now - meeting.began > timeout else { return .open }
    return .failed(
      group.error(
        operation, "has waited \(timeout) for rank \(missing.map(String.init).joined(separator: ", "))",
        isMisuse: false))
  }

  private func consequence(
    of failure: (rank: Int, error: any Error), _ group: InProcessGroup, _ operation: Operation
  ) -> MPIError {
    group.error(operation, "cannot be completed: rank \(failure.rank) has failed: \(failure.error)", isMisuse: false)
  }
}

/// The group of an in-process communicator. The job's lock guards `meetings`, all that changes, hence `@unchecked`.
final class InProcessGroup: @unchecked Sendable {
  let job: InProcessJob
  let name: String
  /// World ranks.
  let members: [Int]
  /// Incomplete operations by sequence number.
  var meetings: [UInt64: Meeting] = [:]

  init(job: InProcessJob, name: String, members: [Int]) {
    self.job = job
    self.name = name
    self.members = members
  }

  /// - Parameter predicate: continues `no. 12 of 'world' …`.
  func error(_ operation: Operation, _ predicate: String, isMisuse: Bool) -> MPIError {
    MPIError(
      inProcess: operation.call, text: "no. \(operation.number) of '\(name)' \(predicate)", isMisuse: isMisuse)
  }
}

/// One operation of a group, with the contribution of each rank that has joined. Guarded by the job's lock until it is
/// complete, and not changed afterwards.
final class Meeting: @unchecked Sendable {
  let began = ContinuousClock.now
  /// The contributions by rank of the group; nil for ranks that have not joined.
  private(set) var contributions: [Contribution?]
  /// By rank, its group after a split; empty for other operations.
  private(set) var groups: [(group: InProcessGroup, rank: Int)?] = []
  /// Set when ranks have begun different operations under the same number.
  private(set) var mismatch: MPIError?

  init(ranks: Int) { contributions = .init(repeating: nil, count: ranks) }

  var missing: [Int] { contributions.indices.filter { contributions[$0] == nil } }
  var isComplete: Bool { !contributions.contains { $0 == nil } }

  func join(_ contribution: Contribution, rank: Int, _ group: InProcessGroup, _ operation: Operation) {
    if let first = contributions.firstIndex(where: { $0 != nil }), let other = contributions[first],
      other.form != contribution.form, mismatch == nil
    {
      mismatch = group.error(
        operation,
        "is \(contribution.form) on rank \(group.members[rank]) and \(other.form) on rank \(group.members[first])",
        isMisuse: true)
    }
    contributions[rank] = contribution
    if isComplete, mismatch == nil { makeGroups(group) }
  }

  /// Makes the groups of a split: the ranks of each color, by key, then by rank.
  private func makeGroups(_ parent: InProcessGroup) {
    let intents = contributions.compactMap { $0?.intent }
    guard intents.count == contributions.count else { return }
    groups = .init(repeating: nil, count: intents.count)
    for color in Set(intents.compactMap(\.color)) {
      let ranks = intents.indices.filter { intents[$0].color == color }.sorted {
        (intents[$0].key, $0) < (intents[$1].key, $1)
      }
      let group = InProcessGroup(
        job: parent.job, name: intents[ranks[0]].name, members: ranks.map { parent.members[$0] })
      for (place, rank) in ranks.enumerated() { groups[rank] = (group, place) }
    }
  }
}

/// The results of the ranks' threads.
final class Results<Value: Sendable>: Sendable {
  private let values = Mutex<[Int: Value]>([:])

  func keep(_ value: Value, of rank: Int) { values.withLock { $0[rank] = value } }

  var inOrder: [Value] { values.withLock { values in values.keys.sorted().compactMap { values[$0] } } }
}
