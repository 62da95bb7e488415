import Checkpoints
import Foundation
import Kernels
public import MPI
import Support
import Synchronization

/// Asynchronous checkpoint saver: training stalls only while the state is copied to a staging buffer. A background
/// thread compresses, writes and commits during the next steps.
///
/// One save is in progress at a time, so at most one copy of the state exists. The threads of all ranks save together,
/// over a communicator of their own; they sleep while they wait for each other, and leave the cores to the computation.
public final class CheckpointSaver {
  /// The outcome of a save. Times are this rank's, and only rank 0 has `notes`; all else is the same on every rank.
  public struct Outcome: Sendable {
    public var step: Int
    /// Seconds from the copy until the checkpoint was durable.
    public var seconds: Double
    public var stallSeconds: Double
    /// Why the save failed; nil on success.
    public var failure: ForgeError?
    /// Whether it is a node-local checkpoint.
    public var isLocal = false
    public var notes: [String] = []
  }

  /// The request of a save: what is written, and where.
  public struct Request: Sendable {
    public var step: Int
    public var folder: CheckpointFolder
    /// zstd compression level.
    public var level: Int
    public var metadata: JSONValue
    /// The node-local checkpoints to save to, where `folder` is the node's; nil for the shared disk.
    public var copies: NodeLocalCheckpoints?
    /// Runs on rank 0 before the commit; an error fails the save.
    public var beforehand: @Sendable () throws -> Void
    /// Runs on rank 0, in the background thread, once the checkpoint is durable; returns notes for the log.
    public var afterwards: @Sendable () -> [String]

    public init(
      step: Int, folder: CheckpointFolder, level: Int, metadata: JSONValue, copies: NodeLocalCheckpoints? = nil,
      beforehand: @escaping @Sendable () throws -> Void = {},
      afterwards: @escaping @Sendable () -> [String] = { [] }
    ) {
      self.step = step
      self.folder = folder
      self.level = level
      self.metadata = metadata
      self.copies = copies
      self.beforehand = beforehand
      self.afterwards = afterwards
    }
  }

  /// Polling interval of a thread that waits for other ranks, microseconds.
  private static let pollInterval: UInt32 = 2000

  private struct Job: Sendable {
    var request: Request
    /// Memory that does not change before the job is done.
    nonisolated(unsafe) var pieces: [ChunkWriter.Piece]
    /// Keeps the staging buffer alive: an error elsewhere may release its other owners before the job is done.
    nonisolated(unsafe) var memory: StagingBuffer?
    var started: ContinuousClock.Instant
    var stallSeconds: Double
  }

  private enum Result: Sendable {
    case outcome(Outcome)
    case error(any Error)
  }

  /// The background thread's inputs and its result.
  private final class Worker: Sendable {
    let communicator: Communicator
    let tensors: [TensorDescription]
    let threads: Int
    let result = Mutex<Result?>(nil)

    init(communicator: Communicator, tensors: [TensorDescription], threads: Int) {
      self.communicator = communicator
      self.tensors = tensors
      self.threads = threads
    }

    func run(_ job: Job) {
      let outcome: Result
      do { outcome = .outcome(try save(job)) } catch { outcome = .error(error) }
      result.withLock { $0 = outcome }
    }

    private func save(_ job: Job) throws -> Outcome {
      var outcome = Outcome(step: job.request.step, seconds: 0, stallSeconds: job.stallSeconds)
      outcome.isLocal = job.request.copies != nil
      do {
        try write(job)
        if communicator.isLeader { outcome.notes = job.request.afterwards() }
      } catch let failure as ForgeError where failure.kind == .tryAgain {
        if commits(job) { try? job.request.folder.recover() }  // frees the space of a full disk
        outcome.failure = failure
      }
      outcome.seconds = (ContinuousClock.now - job.started) / .seconds(1)
      return outcome
    }

    /// Whether this rank changes the folder: rank 0, or for node-local checkpoints the leader of each node.
    private func commits(_ job: Job) -> Bool { job.request.copies?.isLeader ?? (communicator.isLeader) }

    /// Every rank writes its pieces to its own shard file and rank 0 makes the manifest; each committing rank commits.
    private func write(_ job: Job) throws {
      let (step, folder) = (job.request.step, job.request.folder)
      try together { if commits(job) { try folder.begin(step: step) } }
      let records = try together {
        let writer = try ChunkWriter(
          folder: folder.partialPath(step: step), rank: communicator.rank, level: job.request.level, threads: threads,
          files: folder.files)
        try writer.write(job.pieces)
        return try writer.finish()
      }
      let gathered = try communicator.gather(Array(JSONEncoder().encode(records)), root: 0)
      var manifest = try together { () -> [UInt8] in
        guard communicator.isLeader else { return [] }
        try job.request.beforehand()
        let chunks = try gathered.flatMap { try JSONDecoder().decode([ChunkRecord].self, from: Data($0)) }
        return try CheckpointFolder.manifest(
          step: step, tensors: tensors, chunks: chunks, metadata: job.request.metadata)
      }
      if let copies = job.request.copies {
        let shard = records.last.map { (file: $0.file, length: $0.offset + $0.length) }
        try copies.copyToPartners(shard, step: step, communicator: communicator)
        manifest = try communicator.broadcast(manifest, root: 0)
      }
      try together { if commits(job) { try folder.commit(step: step, manifest: manifest) } }
      // Older copies are deleted once all nodes have this one: a crash in between may leave it on some of them only.
      if job.request.copies != nil { try together { if commits(job) { try folder.retire(keeping: step) } } }
    }

    private func together<Result>(_ body: () throws -> Result) throws -> Result {
      try communicator.together(pollingEvery: CheckpointSaver.pollInterval, body)
    }
  }

  private let transfer: CheckpointTransfer
  private let worker: Worker
  private let thread: SerialThread<Job>
  private let stagingBuffer: StagingBuffer?
  private var job: Int?

  /// Starts the saver's thread, with a communicator of its own. Collective.
  ///
  /// - Parameters:
  ///   - asynchronous: whether a staging buffer for this rank's part of the state is allocated; without it
  ///     ``start(_:)`` returns when the checkpoint is written.
  ///   - backend: compresses with as many threads, and copies to the staging buffer.
  /// - Throws: `MPIError`; `ForgeError.tryAgain` when the system starts no further thread.
  public init(
    _ transfer: CheckpointTransfer, communicator: Communicator, asynchronous: Bool, backend: Backend
  ) throws {
    self.transfer = transfer
    let worker = Worker(
      communicator: try communicator.duplicate(name: "checkpoint"), tensors: transfer.tensors,
      threads: backend.team.count)
    self.worker = worker
    thread = try SerialThread { worker.run($0) }
    stagingBuffer =
      asynchronous
      ? StagingBuffer(byteCount: transfer.pieces.reduce(0) { $0 + $1.bytes.count }, backend: backend) : nil
  }

  /// Whether a save is in progress, or done with its outcome not yet taken.
  public var isSaving: Bool { job != nil }

  /// Starts a save; the state may change when this returns. Collective; no save may be in progress.
  ///
  /// - Returns: the time that training stalled for the copy, seconds.
  @discardableResult
  public func start(_ request: Request) throws -> Double {
    precondition(job == nil, "one save at a time")
    let started = ContinuousClock.now
    let pieces = stagingBuffer?.take(transfer.pieces) ?? transfer.pieces
    let stall = (ContinuousClock.now - started) / .seconds(1)
    let number = thread.submit(
      Job(request: request, pieces: pieces, memory: stagingBuffer, started: started, stallSeconds: stall))
    job = number
    if stagingBuffer == nil { try thread.wait(for: number) }
    return stall
  }

  /// Returns the outcome of the save, once; nil while it is in progress and without a save.
  ///
  /// - Throws: `MPIError`, and `ForgeError.badInput` when the run directory is no longer this job's.
  public func takeOutcome() throws -> Outcome? {
    let result = worker.result.withLock { result in
      defer { result = nil }
      return result
    }
    guard let result else { return nil }
    job = nil
    switch result {
    case .outcome(let outcome): return outcome
    case .error(let error): throw error
    }
  }

  /// Waits for the save in progress and returns its outcome; nil without one.
  ///
  /// - Throws: as ``takeOutcome()``.
  public func wait() throws -> Outcome? {
    guard let job else { return nil }
    try thread.wait(for: job)
    return try takeOutcome()
  }
}
