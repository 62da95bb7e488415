/// The in-process transport: ranks that are threads of one process.
final class ThreadTransport: Transport {
  let rank: Int
  private let group: InProcessGroup
  var size: Int { group.members.count }
  var members: [Int] { group.members }

  init(_ group: InProcessGroup, rank: Int) {
    self.group = group
    self.rank = rank
  }

  func perform(_ collective: Collective, _ operation: Operation) throws(MPIError) {
    try begin(collective, operation).wait()
  }

  func start(_ collective: Collective, limit: Int, _ operation: Operation) throws(MPIError) -> any PendingOperation {
    try begin(collective, operation)
  }

  private func begin(_ collective: Collective, _ operation: Operation) throws(MPIError) -> PendingMeeting {
    if let root = collective.root, !members.indices.contains(root) {
      throw MPIError(inProcess: operation.call, text: "MPI_ERR_ROOT: invalid root", isMisuse: true)
    }
    let meeting = try group.job.join(
      group, operation, Contribution(collective, operation.call, rank: rank, ranks: size), rank: rank)
    return PendingMeeting(meeting, collective, group, operation, rank: rank)
  }

  func duplicate(name: String, _ operation: Operation) throws(MPIError) -> any Transport {
    try join(.init(color: 0, key: rank, name: name), operation) ?? self
  }

  func split(color: Int?, key: Int, name: String, _ operation: Operation) throws(MPIError) -> (any Transport)? {
    try join(.init(color: color, key: key, name: name), operation)
  }

  func splitByNode(name: String, _ operation: Operation) throws(MPIError) -> any Transport {
    try join(.init(color: 0, key: rank, name: name), operation) ?? self
  }

  private func join(_ intent: Contribution.Intent, _ operation: Operation) throws(MPIError) -> ThreadTransport? {
    let meeting = try group.job.join(group, operation, Contribution(intent, operation.call), rank: rank)
    try group.job.wait(for: meeting, group, operation)
    return meeting.groups[rank].map { ThreadTransport($0.group, rank: $0.rank) }
  }
}

/// A collective that one rank has started.
private final class PendingMeeting: PendingOperation {
  private let meeting: Meeting
  private let collective: Collective
  private let group: InProcessGroup
  private let operation: Operation
  private let rank: Int
  private var isDelivered = false

  init(_ meeting: Meeting, _ collective: Collective, _ group: InProcessGroup, _ operation: Operation, rank: Int) {
    self.meeting = meeting
    self.collective = collective
    self.group = group
    self.operation = operation
    self.rank = rank
  }

  func wait() throws(MPIError) {
    guard !isDelivered else { return }
    try group.job.wait(for: meeting, group, operation)
    try deliver()
  }

  func isComplete() throws(MPIError) -> Bool {
    guard !isDelivered else { return true }
    guard try group.job.isComplete(meeting, group, operation) else { return false }
    try deliver()
    return true
  }

  func drop() {
    guard !isDelivered else { return }
    // No other rank accesses this rank's memory, so an operation that cannot complete may be abandoned; a failed
    // delivery becomes the job's error.
    do { try group.job.wait(for: meeting, group, operation) } catch { return }
    do { try deliver() } catch { group.job.end(group.members[rank], error) }
  }

  private func deliver() throws(MPIError) {
    isDelivered = true
    if let problem = collective.deliver(meeting.contributions.compactMap(\.self), rank: rank) {
      throw group.error(operation, problem, isMisuse: true)
    }
  }
}
