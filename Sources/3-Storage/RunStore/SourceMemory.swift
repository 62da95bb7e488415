import Formats
import Foundation
import Support

/// The cache of content hashes, `sources.json` in the run directory: hashes of files that are not read again while
/// unchanged.
///
/// When it is lost, the files are read again.
public struct SourceMemory: Codable, Equatable {
  /// A file's size, modification time and inode, by which a change is detected.
  public struct Status: Codable, Equatable {
    public var size: Int
    /// Nanoseconds since 1970.
    public var modified: Int
    public var inode: UInt64

    /// - Throws: `ForgeError.badInput` when there is no such file.
    public init(_ path: String) throws {
      var status = stat()
      guard stat(path, &status) == 0 else {
        throw ForgeError.badInput(
          "cannot read '\(path)': \(String(cString: strerror(errno)))", code: .system(errno, else: .fileUnreadable))
      }
      size = Int(status.st_size)
      modified = Int(status.st_mtim.tv_sec) * 1_000_000_000 + Int(status.st_mtim.tv_nsec)
      inode = UInt64(status.st_ino)
    }
  }

  /// A dataset and its hash.
  public struct Dataset: Codable, Equatable {
    public var prefix: String
    public var data: Status
    public var index: Status
    public var digest: DatasetDigest
    /// An upper bound of its token ids, which was verified.
    public var vocabularySize: Int

    public init(prefix: String, data: Status, index: Status, digest: DatasetDigest, vocabularySize: Int) {
      self.prefix = prefix
      self.data = data
      self.index = index
      self.digest = digest
      self.vocabularySize = vocabularySize
    }
  }

  /// The weights of `model.from` and their hash.
  public struct Model: Codable, Equatable {
    public var path: String
    /// Status by file name.
    public var files: [String: Status]
    public var sha256: String

    public init(path: String, files: [String: Status], sha256: String) {
      self.path = path
      self.files = files
      self.sha256 = sha256
    }
  }

  public var datasets: [Dataset] = []
  public var models: [Model] = []

  /// Reads the cache; empty when there is no valid one.
  public init(path: String) {
    guard let data = try? Data(contentsOf: URL(fileURLWithPath: path)),
      let memory = try? JSONDecoder().decode(Self.self, from: data)
    else { return }
    self = memory
  }

  public func write(to path: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do { try encoder.encode(self).write(to: URL(fileURLWithPath: path), options: .atomic) } catch {
      throw ForgeError.tryAgain(
        "cannot write '\(path)': \(systemReason(of: error))", code: .system(error, else: .writeFailed))
    }
  }
}
