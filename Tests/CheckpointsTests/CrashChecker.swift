import Foundation
import Support

@testable import Checkpoints

/// Which checkpoints must be there after a crash; follows from the changes alone, synchronisations included.
struct Expectation {
  /// What may be found at each step: root hashes, nil for nothing.
  private(set) var allowed: [Int: Set<String?>] = [:]
  private var now: [Int: String?] = [:]
  /// What `latest` may name.
  private(set) var latest: Set<String?> = [nil]
  private var latestNow: String?
  private var written: (manifest: String?, latest: String?)

  /// Everything that is listed is durable.
  init(listed: [Int: String?] = [:], latest: String? = nil) {
    now = listed
    latestNow = latest
    settle()
  }

  mutating func apply(_ operation: DiskOperation) {
    switch operation {
    case .write("checkpoints/latest.partial", _, let bytes):
      written.latest = String(decoding: bytes.dropLast().suffix(64), as: UTF8.self)
    case .write(let path, _, let bytes) where path.hasSuffix("/manifest.json"):
      written.manifest = String(decoding: bytes.suffix(67).prefix(64), as: UTF8.self)
    case .rename(_, "checkpoints/latest"): setLatest(written.latest)
    case .removeFile("checkpoints/latest"): setLatest(nil)
    case .rename(let path, let newPath):
      let (name, newName) = (Self.name(path), Self.name(newPath))
      if name.hasSuffix(".partial"), let step = CheckpointFolder.step(name: newName) {
        set(step, written.manifest)
      } else if newName.hasSuffix(".deleting"), let step = CheckpointFolder.step(name: name) {
        set(step, nil)
      }
    case .synchronizeFolder("checkpoints"), .committed: settle()
    default: break
    }
  }

  /// All changes so far are durable.
  private mutating func settle() {
    allowed = now.mapValues { [$0] }
    latest = [latestNow]
  }

  private mutating func setLatest(_ root: String?) {
    latest.insert(root)
    latestNow = root
  }

  private static func name(_ path: String) -> String { (path as NSString).lastPathComponent }

  private mutating func set(_ step: Int, _ root: String?) {
    allowed[step, default: [nil]].insert(root)
    now[step] = .some(root)
  }

  /// The root hashes of the checkpoints that are right to choose; nil among them when there need not be any.
  var newest: Set<String?> {
    var result: Set<String?> = []
    for step in allowed.keys.sorted().reversed() {
      guard let roots = allowed[step] else { continue }
      result.formUnion(roots.subtracting([nil]))
      if !roots.contains(nil) { return result }
    }
    return result.union([nil])
  }

  /// The violation in what was found; nil when there is none.
  func violation(_ verdict: Verdict) -> String? {
    if !verdict.complaints.isEmpty { return "damage: \(verdict.complaints.joined(separator: "; "))" }
    if !newest.contains(verdict.newest) { return "the wrong checkpoint was chosen: \(verdict.newest ?? "none")" }
    if !newest.union(latest).contains(verdict.resolved) {
      return "`latest` leads to the wrong checkpoint: \(verdict.resolved ?? "none")"
    }
    for step in Set(allowed.keys).union(verdict.listed.keys) {
      let found = verdict.listed[step] ?? nil
      if !(allowed[step] ?? [nil]).contains(found) { return "step \(step) is \(found ?? "not there")" }
    }
    return verdict.aftermath
  }
}

/// What the reader finds in one tree: root hashes of checkpoints of which every chunk was read.
struct Verdict {
  var newest: String?
  var resolved: String?
  var listed: [Int: String?] = [:]
  var complaints: [String] = []
  /// The error when the tree was cleaned up and a checkpoint added, if that was tried.
  var aftermath: String?
}

/// Rebuilds the disk after every change, as every kind of crash would leave it, and runs the reader on it.
final class CrashChecker {
  let store = ContentStore()
  let temporary: TestFolder
  let root: String
  private var verdicts: [Bool: [DiskImage: Verdict]] = [:]
  private(set) var cases = 0
  var trees: Int { verdicts.values.map(\.count).reduce(0, +) }

  init() throws {
    temporary = try TestFolder(isInMemory: true)
    root = temporary.path + "/disk"
  }

  /// Runs a program on an empty disk, or on the disk of a program that was killed, and records its changes.
  func record(
    from image: DiskImage = [:], killAfter: Int = .max, _ program: (CheckpointFolder, RecordingFiles) throws -> Void
  ) throws -> [DiskOperation] {
    try store.materialize(image, at: root)
    let files = RecordingFiles(root: root, killAfter: killAfter)
    do { try program(CheckpointFolder(path: root + "/checkpoints", files: files), files) } catch is RecordingFiles
      .Killed
    {}
    return files.operations
  }

  /// The first violation at any point of a recorded program; nil when there is none.
  ///
  /// - Parameters:
  ///   - dropped: selects synchronisations without effect, by their ``label(_:after:)``.
  ///   - isThorough: every combination of lost changes, and on every tree the reader, cleaning up and a new save.
  ///   - visit: called at every point with what the disk and the expectation are there.
  func violation(
    of operations: [DiskOperation], on start: SimulatedDisk? = nil, expecting: Expectation = Expectation(),
    dropping dropped: String? = nil, isThorough: Bool = true,
    visit: (_ point: Int, SimulatedDisk, Expectation) throws -> String? = { _, _, _ in nil }
  ) throws -> String? {
    var disk = start ?? SimulatedDisk(store: store)
    var expectation = expecting
    for (point, operation) in operations.enumerated() {
      let label = Self.label(operation, after: point > 0 ? operations[point - 1] : nil)
      disk.apply(operation, isDropped: label != nil && label == dropped)
      expectation.apply(operation)
      if case .close = operation { continue }
      for image in disk.survivors(isThorough: isThorough) {
        cases += 1
        if let violation = expectation.violation(try verdict(image, isThorough: isThorough)) {
          return "after change \(point), \(operation.kind): \(violation)\nof \(image.keys.sorted())"
        }
      }
      if let violation = try visit(point, disk, expectation) { return violation }
    }
    return nil
  }

  /// One name for each place in the code that synchronises something; nil for other changes.
  static func label(_ operation: DiskOperation, after previous: DiskOperation?) -> String? {
    switch operation {
    case .synchronize: return operation.kind
    case .synchronizeFolder(let path):
      // The first operation in the folder makes its contents durable.
      if case .synchronizeFolder("") = previous { return "checkpoints before anything else" }
      guard let previous else { return path == "" ? operation.kind : "checkpoints before anything else" }
      return "\(operation.kind) after \(previous.kind)"
    default: return nil
    }
  }

  private func verdict(_ image: DiskImage, isThorough: Bool) throws -> Verdict {
    if let known = verdicts[isThorough, default: [:]][image] { return known }
    try store.materialize(image, at: root)
    var verdict = try read()
    if isThorough { verdict.aftermath = try aftermath(image, verdict) }
    verdicts[isThorough, default: [:]][image] = verdict
    return verdict
  }

  private func read() throws -> Verdict {
    var verdict = Verdict()
    let folder = CheckpointFolder(path: root + "/checkpoints")
    func attempt(_ open: () throws -> CheckpointReader?) -> String? {
      do {
        guard let reader = try open() else { return nil }
        try reader.verify()
        return reader.root
      } catch {
        verdict.complaints.append("\(error)")
        return nil
      }
    }
    var reported: [String] = []
    verdict.newest = attempt { try CheckpointReader.newestSound(in: folder.path) { reported.append("\($0)") } }
    for step in folder.steps() {
      verdict.listed[step] = attempt { try CheckpointReader(path: folder.path(step: step)) }
    }
    if !verdict.listed.isEmpty || folder.latestStep != nil {
      verdict.resolved = attempt { try CheckpointReader(path: folder.path) }
    }
    verdict.complaints += reported
    return verdict
  }

  /// Cleans up and saves, and checks the result and, at every change on the way, the state after another crash.
  private func aftermath(_ image: DiskImage, _ before: Verdict) throws -> String? {
    var tidied = Verdict()
    var leftovers: [String] = []
    let operations = try record(from: image) { folder, files in
      try folder.recover()
      tidied = try read()
      leftovers = folder.leftovers()
      try TinyState(seed: 99).save(to: folder, step: 9000, ranks: 1, files: files)
    }
    let after = try read()
    if tidied.newest != before.newest { return "tidying up changed the choice: \(tidied.newest ?? "none")" }
    if tidied.listed != before.listed { return "tidying up changed the list: \(tidied.listed)" }
    if !leftovers.isEmpty { return "left after tidying up: \(leftovers)" }
    let saved = after.listed[9000] ?? nil
    if saved == nil || after.newest != saved || after.resolved != saved {
      return "the next save is not chosen: \(after)"
    }
    let expectation = Expectation(listed: before.listed, latest: before.resolved)
    return try violation(
      of: operations, on: SimulatedDisk(image, store: store), expecting: expectation, isThorough: false
    ).map { "in a second crash, \($0)" }
  }
}

/// A state of a few bytes, saved as two ranks would.
struct TinyState {
  let seed: Int

  func save(to folder: CheckpointFolder, step: Int, ranks: Int = 2, files: RecordingFiles) throws {
    let tensors = [
      TensorDescription(name: "w", dtype: .f32, shape: [6]), TensorDescription(name: "m", dtype: .u8, shape: [10]),
    ]
    let partial = try folder.begin(step: step)
    var chunks: [ChunkRecord] = []
    for rank in 0..<2 {
      let writer = try ChunkWriter(folder: partial, rank: rank, level: -50, chunkBytes: 8, blockBytes: 8, files: files)
      for tensor in tensors where rank < ranks {
        let count = tensor.elementCount / ranks
        let bytes = (0..<count * tensor.dtype.width).map { UInt8(truncatingIfNeeded: (seed * 31 + $0 + rank) * 73) }
        try bytes.withUnsafeBytes { try writer.write(tensor: tensor, elementOffset: rank * count, bytes: $0) }
      }
      chunks += try writer.finish()
    }
    try folder.commit(step: step, tensors: tensors, chunks: chunks, metadata: ["seed": .integer(seed)])
    files.noteCommit()
  }
}
