import Diagnostics
import Glibc

/// A path as the file system has it: bytes that need not be UTF-8.
struct RawPath: Sendable, Hashable {
  var bytes: [UInt8]

  init(_ path: String) { bytes = Array(path.utf8) }

  /// For people: bytes that are not UTF-8 are replaced.
  var string: String { String(decoding: bytes, as: UTF8.self) }

  /// The part after the last slash.
  var name: ArraySlice<UInt8> { bytes[(bytes.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)...] }

  func appending(_ name: [UInt8]) -> RawPath {
    var path = self
    if path.bytes.last != UInt8(ascii: "/") { path.bytes.append(UInt8(ascii: "/")) }
    path.bytes += name
    return path
  }

  /// With the terminator that system calls need.
  var cString: [CChar] { bytes.map(CChar.init(bitPattern:)) + [0] }

  /// What is there, symbolic links followed; nil when nothing is or it may not be seen.
  func status() -> stat? {
    var status = stat()
    return stat(cString, &status) == 0 ? status : nil
  }
}

/// What makes two paths the same file.
struct FileIdentity: Hashable, Sendable {
  var device: UInt64
  var node: UInt64

  init(_ status: stat) {
    device = UInt64(status.st_dev)
    node = UInt64(status.st_ino)
  }
}

/// The regular files at and below some paths, in an order that depends only on their names: the inputs as given, below
/// each the entries of every folder by their names' bytes.
///
/// Symbolic links are followed, but no file or folder is visited twice. Folders of version control systems are passed
/// over. Folders are listed as the walk reaches them.
struct FileWalk: Sequence, IteratorProtocol {
  private var pending: [RawPath]
  private var visited: Set<FileIdentity>
  private static let passedOver: Set<[UInt8]> = Set([".", "..", ".git", ".hg", ".svn"].map { Array($0.utf8) })

  /// Nothing in `excluded` is visited. Throws `badInput` when an input does not exist.
  init(inputs: [String], excluding excluded: Set<FileIdentity> = []) throws {
    pending = inputs.map { RawPath($0) }.reversed()
    visited = excluded
    for path in pending where path.status() == nil {
      throw ForgeError.badInput("cannot read '\(path.string)': \(String(cString: strerror(errno)))")
    }
  }

  /// The next file, or a path where there should be one but nothing can be seen, such as a broken link.
  mutating func next() -> RawPath? {
    while let path = pending.popLast() {
      guard let status = path.status() else { return path }
      let kind = status.st_mode & S_IFMT
      guard kind == S_IFREG || kind == S_IFDIR, visited.insert(FileIdentity(status)).inserted else { continue }
      if kind == S_IFREG { return path }
      guard let names = Self.entries(of: path) else { return path }
      pending += names.sorted { $1.lexicographicallyPrecedes($0) }.map(path.appending)
    }
    return nil
  }

  /// The names in a folder; nil when it may not be listed.
  private static func entries(of folder: RawPath) -> [[UInt8]]? {
    guard let stream = opendir(folder.cString) else { return nil }
    defer { closedir(stream) }
    var names: [[UInt8]] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
      if !passedOver.contains(name) { names.append(name) }
    }
    return names
  }
}
