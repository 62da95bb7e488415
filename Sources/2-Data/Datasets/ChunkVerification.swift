import Formats
import Glibc
import Support
import Synchronization

/// Hashing and verification of datasets' chunks on several threads.
public enum ChunkVerification {
  /// A range of a file to hash, at most a chunk.
  public struct Task: Sendable, Equatable {
    public var path: String
    public var bytes: Range<Int>
    /// The expected hash, in hexadecimal; nil to hash without verification.
    public var expected: String?

    public init(path: String, bytes: Range<Int>, expected: String? = nil) {
      self.path = path
      self.bytes = bytes
      self.expected = expected
    }

    /// A chunk of the dataset whose path, without `.bin` and `.idx`, is `prefix`.
    public init(prefix: String, chunk: DatasetDigest.Chunk, expected: String? = nil) {
      self.init(path: prefix + chunk.file.rawValue, bytes: chunk.bytes, expected: expected)
    }
  }

  /// Hashes chunks, and verifies those with an expected hash. A thread that is free takes the next one.
  ///
  /// - Parameter deadline: no chunk is started after it; nil hashes all.
  /// - Returns: a hash for each task; nil for one that was not reached.
  /// - Throws: `ForgeError.badInput` for the first chunk, in order, that is missing or has another hash than expected.
  public static func hash(
    _ tasks: [Task], threads: Int, deadline: ContinuousClock.Instant? = nil
  ) throws -> [SHA256.Digest?] {
    let work = Work(tasks, deadline)
    // This thread, and as many others as can be started.
    var started: [SystemThread] = []
    for _ in 1..<max(1, min(threads, tasks.count)) {
      guard let thread = try? SystemThread({ work.run() }) else { break }
      started.append(thread)
    }
    work.run()
    for thread in started { thread.join() }
    return try work.outcomes.withLock { try $0.map { try $0?.get() } }
  }

  /// The state that the threads share.
  private final class Work: Sendable {
    let outcomes: Mutex<[Result<SHA256.Digest, ForgeError>?]>
    private let tasks: [Task]
    private let deadline: ContinuousClock.Instant?
    private let next = Atomic(0)

    init(_ tasks: [Task], _ deadline: ContinuousClock.Instant?) {
      self.tasks = tasks
      self.deadline = deadline
      outcomes = Mutex(Array(repeating: nil, count: tasks.count))
    }

    func run() {
      while case let number = next.add(1, ordering: .relaxed).oldValue, number < tasks.count {
        if let deadline, ContinuousClock.now > deadline { return }
        let outcome = Result { try check(tasks[number]) }.mapError { ForgeError.bug($0) }
        outcomes.withLock { $0[number] = outcome }
      }
    }
  }

  /// A sample of one chunk in a hundred, at least one; which ones depends on `key` alone.
  public static func sample(_ digest: DatasetDigest, key: UInt64) -> [DatasetDigest.Chunk] {
    let chunks = digest.chunks
    guard !chunks.isEmpty else { return [] }
    let order = Permutation(count: chunks.count, key: key)
    return (0..<(chunks.count + 99) / 100).map { chunks[order($0)] }
  }

  private static func check(_ task: Task) throws -> SHA256.Digest {
    let digest = try FileDigest.hash(path: task.path, bytes: task.bytes)
    guard let expected = task.expected, expected != digest.hexadecimal else { return digest }
    throw ForgeError.badInput(
      "'\(task.path)' is not what it was: its bytes \(task.bytes.lowerBound) to \(task.bytes.upperBound) have "
        + "another hash than was recorded; it was damaged or replaced", hint: "restore it or prepare it again",
      after: ", so ", code: .fileDamaged)
  }
}
