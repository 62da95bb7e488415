import Diagnostics
import Formats
import Foundation

/// `sources.json` in the run directory: what was hashed once and need not be again as long as the files are untouched.
///
/// A cache: when it is lost, the files are read again.
struct SourceMemory: Codable, Equatable {
  /// What the file system says of a file; a change of content changes it.
  struct Status: Codable, Equatable {
    var size: Int
    /// Nanoseconds since 1970.
    var modified: Int
    var inode: UInt64

    /// - Throws: `ForgeError.badInput` when there is no such file.
    init(_ path: String) throws {
      var status = stat()
      guard stat(path, &status) == 0 else {
        throw ForgeError.badInput("cannot read '\(path)': \(String(cString: strerror(errno)))")
      }
      size = Int(status.st_size)
      modified = Int(status.st_mtim.tv_sec) * 1_000_000_000 + Int(status.st_mtim.tv_nsec)
      inode = UInt64(status.st_ino)
    }
  }

  /// A dataset that was read.
  struct Dataset: Codable, Equatable {
    var prefix: String
    var data: Status
    var index: Status
    var digest: DatasetDigest
    /// All of its ids were found to be below this.
    var vocabularySize: Int
  }

  /// The weights of `model.from`.
  struct Model: Codable, Equatable {
    var path: String
    /// By name.
    var files: [String: Status]
    var sha256: String
  }

  var datasets: [Dataset] = []
  var models: [Model] = []

  static let fileName = "sources.json"

  /// Empty when there is none, or none that can be read.
  init(path: String) {
    guard let data = try? Data(contentsOf: URL(fileURLWithPath: path)),
      let memory = try? JSONDecoder().decode(Self.self, from: data)
    else { return }
    self = memory
  }

  func write(to path: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do { try encoder.encode(self).write(to: URL(fileURLWithPath: path), options: .atomic) } catch {
      throw ForgeError.tryAgain("cannot write '\(path)': \(systemReason(of: error))")
    }
  }
}
