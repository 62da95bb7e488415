import Foundation
import Support

/// A record of a run that uses a prepared folder: a line of the folder's `used_by.jsonl`, for a warning when the
/// dataset is replaced.
///
/// It has no other use: a folder that cannot be written, or a line that is lost, is no error.
public struct DatasetUse: Codable, Sendable, Equatable {
  public static let fileName = "used_by.jsonl"

  /// The run's directory, an absolute path.
  public var run: String
  /// The digest root of the part that the run was started with.
  public var sha256: String

  public init(run: String, sha256: String) {
    self.run = run
    self.sha256 = sha256
  }

  /// Appends the line unless the file has it.
  public func record(in folder: String) {
    guard !Self.all(in: folder).contains(self), let line = try? JSONEncoder().encode(self) else { return }
    let descriptor = open("\(folder)/\(Self.fileName)", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { return }
    // One write, so that the lines of two runs do not mix.
    _ = (line + [UInt8(ascii: "\n")]).withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    close(descriptor)
  }

  /// The existing directories of the runs that were started with the folder's current contents.
  public static func runs(of folder: String) -> [String] {
    guard let description = try? DatasetDescription(folder: folder) else { return [] }
    let present = [description.train?.sha256, description.validation?.sha256].compactMap(\.self)
    // Older datasets have no hash.
    let runs = all(in: folder).filter { present.isEmpty || present.contains($0.sha256) }.map(\.run)
    return Set(runs).filter { FileManager.default.fileExists(atPath: $0) }.sorted()
  }

  private static func all(in folder: String) -> [DatasetUse] {
    let contents = (try? Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(fileName)"))) ?? Data()
    return contents.split(separator: UInt8(ascii: "\n")).compactMap { try? JSONDecoder().decode(Self.self, from: $0) }
  }
}
