import Foundation
import Synchronization

@testable import Checkpoints

/// The real file system without synchronisation; records every change, and fails for good after some number of them.
final class RecordingFiles: FileOperations {
  struct Killed: Error {}

  private let root: String
  private let killAfter: Int
  private let real = PosixFiles()
  private let log = Mutex<[DiskOperation]>([])

  init(root: String, killAfter: Int = .max) {
    self.root = root + "/"
    self.killAfter = killAfter
  }

  var operations: [DiskOperation] { log.withLock { $0 } }

  /// A pseudo-change: the guarantees of a commit hold from here on.
  func noteCommit() { log.withLock { $0.append(.committed) } }

  private func note(_ operation: DiskOperation) throws {
    try log.withLock { log in
      guard log.count < killAfter else { throw Killed() }
      log.append(operation)
    }
  }

  private func relative(_ path: String) -> String {
    precondition(path.hasPrefix(root) || path + "/" == root, "\(path) is outside of the simulated disk")
    return String(path.dropFirst(root.count))
  }

  func makeFolder(_ path: String) throws {
    try note(.makeFolder(relative(path)))
    try real.makeFolder(path)
  }

  func create(_ path: String) throws -> OpenFile {
    try note(.create(relative(path)))
    return try real.create(path)
  }

  func write(_ bytes: UnsafeRawBufferPointer, to file: OpenFile, at offset: Int) throws {
    try note(.write(relative(file.path), offset: offset, bytes: Array(bytes)))
    try real.write(bytes, to: file, at: offset)
  }

  func synchronize(_ file: OpenFile) throws { try note(.synchronize(relative(file.path))) }

  func close(_ file: OpenFile) throws {
    defer { try? real.close(file) }
    try note(.close(relative(file.path)))
  }

  func synchronizeFolder(_ path: String) throws { try note(.synchronizeFolder(relative(path))) }

  func rename(_ path: String, to newPath: String) throws {
    try note(.rename(relative(path), to: relative(newPath)))
    try real.rename(path, to: newPath)
  }

  func removeFile(_ path: String) throws {
    try note(.removeFile(relative(path)))
    try real.removeFile(path)
  }

  func removeFolder(_ path: String) throws {
    try note(.removeFolder(relative(path)))
    try real.removeFolder(path)
  }
}
