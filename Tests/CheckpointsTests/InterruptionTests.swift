import Foundation
import Support
import Synchronization
import Testing

@testable import Checkpoints

/// The real file system until the `failAt`-th change, then one failure or, as after a crash, only failures.
final class FailingFiles: FileOperations {
  private let real = PosixFiles()
  private let failAt: Int
  private let isCrash: Bool
  private let count = Mutex(0)
  private let failedOperation = Mutex("")

  init(failAt: Int, isCrash: Bool) {
    self.failAt = failAt
    self.isCrash = isCrash
  }

  var operations: Int { count.withLock { $0 } }
  var failed: String { failedOperation.withLock { $0 } }

  private func step<Result>(_ operation: String, _ path: String, _ body: () throws -> Result) throws -> Result {
    let number = count.withLock {
      $0 += 1
      return $0
    }
    guard number < failAt || (number > failAt && !isCrash) else {
      failedOperation.withLock { if $0.isEmpty { $0 = operation } }
      errno = ENOSPC
      throw systemError(operation, path)
    }
    return try body()
  }

  func makeFolder(_ path: String) throws { try step("make the folder", path) { try real.makeFolder(path) } }
  func create(_ path: String) throws -> OpenFile { try step("create", path) { try real.create(path) } }
  func write(_ bytes: UnsafeRawBufferPointer, to file: OpenFile, at offset: Int) throws {
    try step("write", file.path) {
      try real.write(bytes, to: file, at: offset)
    }
  }
  func synchronize(_ file: OpenFile) throws { try step("synchronize", file.path) { try real.synchronize(file) } }
  func close(_ file: OpenFile) throws { try real.close(file) }
  func synchronizeFolder(_ path: String) throws {
    try step("synchronize the folder", path) { try real.synchronizeFolder(path) }
  }
  func rename(_ path: String, to newPath: String) throws {
    try step("rename", path) { try real.rename(path, to: newPath) }
  }
  func removeFile(_ path: String) throws { try step("remove", path) { try real.removeFile(path) } }
  func removeFolder(_ path: String) throws { try step("remove the folder", path) { try real.removeFolder(path) } }
}

@Suite struct InterruptionTests {
  let temporary: TestFolder
  let folder: CheckpointFolder
  let old = TestState(seed: 1)
  let new = TestState(seed: 2)

  init() throws {
    temporary = try TestFolder()
    folder = CheckpointFolder(path: temporary.path + "/checkpoints")
    try old.save(to: folder, step: 100)
  }

  /// Fails each change to the disk in turn, until a save gets through, and checks what is there afterwards.
  private func failEverywhere(
    isCrash: Bool, step: Int, check: (_ reader: CheckpointReader, _ failed: String) throws -> Void
  ) throws {
    var operations: [String] = []
    for failAt in 1...1000 {
      let files = FailingFiles(failAt: failAt, isCrash: isCrash)
      var failure: ForgeError?
      do {
        let failing = CheckpointFolder(path: folder.path, files: files)
        try new.save(to: failing, step: step)
        try failing.prune(keepLast: 1)
      } catch let error as ForgeError {
        failure = error
      }
      guard let failure else {
        #expect(Set(operations).count >= 7, "all kinds of changes were tried: \(Set(operations))")
        return
      }
      operations.append(files.failed)
      #expect(failure.exitCode == 75)
      #expect(failure.description.hasPrefix("cannot \(files.failed) '\(temporary.path)"))
      #expect(failure.description.hasSuffix("': No space left on device"))
      let reader = try #require(
        try CheckpointReader.newestSound(in: folder.path) { error in
          Issue.record("after failing to \(files.failed): \(error)")
        })
      try check(reader, files.failed)
      // Start again from the same state.
      try FileManager.default.removeItem(atPath: folder.path)
      try old.save(to: folder, step: 100)
    }
    Issue.record("the save never got through")
  }

  @Test(arguments: [true, false])
  func theEarlierOrTheNewCheckpointIsAlwaysThere(isCrash: Bool) throws {
    try failEverywhere(isCrash: isCrash, step: 200) { reader, _ in
      try (reader.step == 100 ? old : new).expectEqual(reader)
      // The next save succeeds, and removes all files of the interrupted one.
      try new.save(to: folder, step: 300)
      #expect(try CheckpointReader(path: folder.path).step == 300)
      let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
      #expect(names.allSatisfy { $0 == "latest" || ($0.hasPrefix("step-") && !$0.contains(".")) }, "\(names)")
    }
  }

  @Test func aCheckpointIsReplacedByOneOfTheSameStep() throws {
    var found: Set<Bool> = []
    for failAt in 1...1000 {
      let files = FailingFiles(failAt: failAt, isCrash: true)
      let failure = Result { try new.save(to: CheckpointFolder(path: folder.path, files: files), step: 100) }
      if case .success = failure { break }
      try folder.recover()
      let reader = try #require(try CheckpointReader.newestSound(in: folder.path))
      let isOld = try reader.bytes(of: "flags") == old.bytes["flags"]
      found.insert(isOld)
      try (isOld ? old : new).expectEqual(reader)
      try FileManager.default.removeItem(atPath: folder.path)
      try old.save(to: folder, step: 100)
    }
    #expect(found == [true, false])
    try new.expectEqual(CheckpointReader(path: folder.path))
  }

  @Test func theTemporaryFolderOfAnInterruptedSaveIsIgnoredAndCleaned() throws {
    let partial = try folder.begin(step: 200)
    let writer = try ChunkWriter(folder: partial, rank: 0, level: -50)
    let tensor = TensorDescription(name: "x", dtype: .u8, shape: [3])
    try [1, 2, 3].withUnsafeBytes { try writer.write(tensor: tensor, bytes: .init(rebasing: $0[..<3])) }
    _ = try writer.finish()
    #expect(folder.steps() == [100])
    #expect(try CheckpointReader.newestSound(in: folder.path)?.step == 100)
    try folder.recover()
    #expect(!FileManager.default.fileExists(atPath: partial))
  }

  @Test(.enabled(if: geteuid() == 0, "only root can mount a small disk")) func aFullDisk() throws {
    guard let disk = try SmallDisk(kibibytes: 512) else { return }  // a container may deny it even to root
    let folder = CheckpointFolder(path: disk.path + "/checkpoints")
    try old.save(to: folder, step: 100)
    let ballast = disk.path + "/ballast"
    let descriptor = open(ballast, O_WRONLY | O_CREAT, 0o600)
    while write(descriptor, [UInt8](repeating: 1, count: 4096), 4096) > 0 {}
    close(descriptor)
    let error = #expect(throws: ForgeError.self) { try new.save(to: folder, step: 200) }
    #expect(error?.exitCode == 75 && error?.description.hasSuffix(": No space left on device") == true)
    try old.expectEqual(CheckpointReader(path: folder.path))
    try FileManager.default.removeItem(atPath: ballast)
    try new.save(to: folder, step: 200)
    try new.expectEqual(CheckpointReader(path: folder.path))
  }

  @Test func retentionKeepsTheNewestAndWhatItIsToldToKeep() throws {
    for step in [200, 300, 400, 500] { try new.save(to: folder, step: step) }
    let verified = try folder.prune(keepLast: 2, keepEvery: 300)
    #expect(folder.steps() == [300, 400, 500])
    #expect(verified == 500)
    #expect(try folder.prune(keepLast: 1, verified: verified) == 500)
    #expect(folder.steps() == [500])
  }

  @Test func retentionNeverDeletesTheLastSoundCheckpoint() throws {
    try new.save(to: folder, step: 200)
    let shard = folder.path(step: 200) + "/shard-00000.forge"
    var bytes = try Data(contentsOf: URL(fileURLWithPath: shard))
    bytes[20] ^= 4
    try bytes.write(to: URL(fileURLWithPath: shard))
    var complaints: [ForgeError] = []
    #expect(try folder.prune(keepLast: 1) { complaints.append($0) } == nil)
    #expect(folder.steps() == [100, 200])
    #expect(complaints.count == 1 && complaints[0].description.contains("shard-00000.forge, tensor"))
  }
}

/// A file system in memory that is soon full.
private final class SmallDisk {
  let path: String
  private let folder: TestFolder

  /// Nil when it cannot be mounted.
  init?(kibibytes: Int) throws {
    folder = try TestFolder()
    path = folder.path
    guard Self.run("mount", "-t", "tmpfs", "-o", "size=\(kibibytes)k", "tmpfs", path) else { return nil }
  }

  deinit { _ = Self.run("umount", path) }

  private static func run(_ arguments: String...) -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.standardError = FileHandle.nullDevice
    do { try process.run() } catch { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
  }
}
