import Foundation
import Support

/// The `checkpoints` folder of a run: which checkpoints there are, and the atomic steps by which they come and go.
///
/// A checkpoint is made in `step-N.partial`, becomes `step-N` by one rename when everything in it is durable, and
/// leaves as `step-N.deleting`. Whatever an interruption leaves, ``recover()`` tidies away. Only one process of a run
/// (rank 0) may use the methods that change the folder.
public struct CheckpointFolder: Sendable {
  public let path: String
  public let files: any FileOperations

  public init(path: String, files: any FileOperations = PosixFiles()) {
    self.path = path
    self.files = files
  }

  // MARK: Names

  /// `step-00000100`
  public static func name(step: Int) -> String {
    let digits = String(step)
    return "step-" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
  }

  /// The step of which this is the folder's name; nil for any other name.
  static func step(name: some StringProtocol) -> Int? {
    guard name.hasPrefix("step-"), let step = Int(name.dropFirst(5)), Self.name(step: step) == name else { return nil }
    return step
  }

  public func path(step: Int) -> String { "\(path)/\(Self.name(step: step))" }

  /// Where the ranks write a checkpoint in the making.
  public func partialPath(step: Int) -> String { path(step: step) + Self.partialSuffix }

  /// Where the metadata of a checkpoint has its validation loss, nats per token.
  public static let validationLossKey = "validation_loss"
  /// Where it has a hash of the sequences that this is the loss of: others' losses are not comparable.
  public static let validationSetsKey = "validation_sets_sha256"

  static let partialSuffix = ".partial"
  static let replacedSuffix = ".replaced"
  static let deletingSuffix = ".deleting"
  static let latestName = "latest"
  var latest: String { "\(path)/\(Self.latestName)" }

  /// The steps that have a folder, in ascending order, whether it is sound or not. One that was about to be replaced
  /// when the machine stopped is among them.
  public func steps() -> [Int] {
    let names = entries().map { $0.hasSuffix(Self.replacedSuffix) ? $0.dropLast(Self.replacedSuffix.count) : $0[...] }
    return Set(names.compactMap(Self.step)).sorted()
  }

  /// The names of what interrupted saves and deletions left, and ``recover()`` removes or puts back.
  public func leftovers() -> [String] {
    entries().filter { name in
      guard let dot = name.lastIndex(of: ".") else { return false }
      return switch name[dot...] {
      case Self.partialSuffix: name[..<dot] == Self.latestName || Self.step(name: name[..<dot]) != nil
      case Self.replacedSuffix, Self.deletingSuffix: Self.step(name: name[..<dot]) != nil
      default: false
      }
    }
  }

  /// The step that `latest` names, whether it is there or not; nil when there is no `latest` or it is damaged.
  public var latestStep: Int? {
    guard let bytes = try? ShardFile.contents(latest) else { return nil }
    return String(decoding: bytes, as: UTF8.self).split(separator: " ").first.flatMap(Self.step)
  }

  /// The root hash of the checkpoint that `latest` names, if it is that of a step; nil otherwise.
  public func latestRoot(step: Int) -> String? {
    guard let bytes = try? ShardFile.contents(latest) else { return nil }
    let words = String(decoding: bytes, as: UTF8.self).split { $0 == " " || $0 == "\n" }
    return words.count == 2 && words[0] == Self.name(step: step) ? String(words[1]) : nil
  }

  private func entries() -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
  }

  func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

  // MARK: Saving

  /// Makes the empty temporary folder, ``partialPath(step:)``, into which every rank's ``ChunkWriter`` writes.
  ///
  /// - Returns: its path.
  @discardableResult
  public func begin(step: Int) throws -> String {
    try files.makeFolderDurably(path)
    try recover()
    let partial = partialPath(step: step)
    try files.makeFolder(partial)
    return partial
  }

  /// Makes a checkpoint of what the ranks wrote: manifest, durable folder, rename, and only then `latest`.
  ///
  /// A checkpoint of the same step that is already there is replaced. After an error the earlier checkpoints are as
  /// they were, and the save can be tried again from ``begin(step:)``.
  ///
  /// - Parameters:
  ///   - tensors: every tensor of the checkpoint.
  ///   - chunks: every rank's chunks, in any order. Together they must cover each tensor exactly once.
  ///   - metadata: whatever else a run needs to go on: configuration, versions, the sampler's position.
  public func commit(
    step: Int, tensors: [TensorDescription], chunks: [ChunkRecord], metadata: JSONValue
  ) throws {
    try commit(
      step: step, manifest: Self.manifest(step: step, tensors: tensors, chunks: chunks, metadata: metadata))
  }

  /// The bytes of the manifest that ``commit(step:tensors:chunks:metadata:)`` writes, for folders that share one.
  public static func manifest(
    step: Int, tensors: [TensorDescription], chunks: [ChunkRecord], metadata: JSONValue
  ) throws -> [UInt8] {
    let manifest = CheckpointManifest(step: step, metadata: metadata, tensors: tensors, chunks: chunks)
    do { try manifest.validate() } catch {
      preconditionFailure("the ranks' chunks do not make a checkpoint: \(error.description)")
    }
    return try manifest.encoded().bytes
  }

  /// As ``commit(step:tensors:chunks:metadata:)``, with a manifest that is made already.
  public func commit(step: Int, manifest: [UInt8]) throws {
    let complete = path(step: step)
    let partial = partialPath(step: step)
    let replaced = complete + Self.replacedSuffix
    try files.writeDurably(manifest, to: "\(partial)/\(CheckpointManifest.fileName)")
    try files.synchronizeFolder(partial)
    let isReplacing = exists(complete)
    if isReplacing {
      if latestStep == step {  // it has the root hash of the one that goes
        try files.removeFile(latest)
        try files.synchronizeFolder(path)
      }
      try files.rename(complete, to: replaced)
    }
    try files.rename(partial, to: complete)
    try files.synchronizeFolder(path)
    try moveLatest(to: step, root: CheckpointManifest.root(of: manifest))
    if isReplacing { try files.removeTree(replaced) }
  }

  func moveLatest(to step: Int, root: String) throws {
    try files.writeDurably(Array("\(Self.name(step: step)) \(root)\n".utf8), to: latest + Self.partialSuffix)
    try files.rename(latest + Self.partialSuffix, to: latest)
    try files.synchronizeFolder(path)
  }

  /// Removes what interrupted saves and deletions have left, and puts back a checkpoint whose replacement never came.
  ///
  /// To be called before ``prune(keepLast:keepEvery:keepBest:verified:threads:report:)`` by a process that has saved
  /// nothing.
  public func recover() throws {
    guard exists(path) else { return }
    // Whoever was here before may have been killed between a rename and its synchronisation. What looks superfluous now
    // is deleted only when what replaces it is certain to stay.
    try files.synchronizeFolder(path)
    for name in leftovers() {
      let entry = "\(path)/\(name)"
      if name == Self.latestName + Self.partialSuffix {
        try files.removeFile(entry)
      } else if name.hasSuffix(Self.replacedSuffix) {
        let original = String(entry.dropLast(Self.replacedSuffix.count))
        if exists(original) { try files.removeTree(entry) } else { try files.rename(entry, to: original) }
      } else {
        try files.removeTree(entry)
      }
    }
  }
}
