import Formats
import Foundation
import Support

/// The run's TensorBoard event files, with each step once.
///
/// Every start, and every rollback, begins a new file. Before that, the steps that will be written again are truncated
/// from the run's own files, which have this program as the writer in their header. Files of other writers, and of
/// versions that did not record it, are left unchanged. (TensorBoard drops such steps of the latter by itself, from the
/// new file's session start.)
public final class EventLog {
  public let file: AppendedFile
  private static let writer = "forge-dist"

  /// Starts a file for the steps after `step`.
  ///
  /// - Throws: `ForgeError.tryAgain` when a file cannot be read or written.
  public init(_ directory: RunDirectory, resumingAfter step: Int) throws {
    try Self.truncate(directory, after: step)
    file = try AppendedFile(path: Self.newName(directory))
    try file.append(
      TensorBoardEvents.header(writer: Self.writer, wallTime: Self.now)
        + TensorBoardEvents.sessionStart(step: step + 1, wallTime: Self.now))
  }

  /// Appends the scalars of a step.
  ///
  /// - Throws: `ForgeError.tryAgain` when writing fails and the buffer is full.
  public func append(step: Int, _ scalars: [(tag: String, value: Float)]) throws {
    let now = Self.now
    try file.append(
      scalars.flatMap { TensorBoardEvents.scalar($0.value, tag: $0.tag, step: step, wallTime: now) })
  }

  /// Truncates the steps after `step` from the run's own files, and deletes files without others.
  private static func truncate(_ directory: RunDirectory, after step: Int) throws {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
    where name.hasPrefix(TensorBoardEvents.filePrefix) {
      let path = "\(directory.path)/\(name)"
      guard let contents = try? Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped) else {
        throw systemError("read", path)
      }
      let kept = contents.withUnsafeBytes { TensorBoardEvents.kept(of: $0, writer: writer, through: step) }
      guard let kept, kept.bytes < contents.count || !kept.hasScalars else { continue }
      if kept.hasScalars {
        let file = try AppendedFile(path: path)
        try file.truncate(to: kept.bytes)
        try file.synchronize()
      } else if unlink(path) != 0, errno != ENOENT {
        throw systemError("remove", path)
      }
    }
  }

  /// A new file name. It begins with the time, since TensorBoard reads files in the order of their names.
  private static func newName(_ directory: RunDirectory) -> String {
    let unique = "\(Int(now)).\(ProcessTable.hostName).\(getpid())"
    var number = 0
    while true {
      let path = "\(directory.path)/\(TensorBoardEvents.filePrefix)\(unique).\(number)"
      if access(path, F_OK) != 0 { return path }
      number += 1
    }
  }

  private static var now: Double { Date().timeIntervalSince1970 }
}
