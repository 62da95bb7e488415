import DocumentText
import Glibc
import Support

/// A recursive file walk from some paths, in an order that depends only on names: the inputs as given, below each the
/// entries of every folder by their names' bytes.
///
/// Symbolic links are followed, but no file or folder is visited twice. Folders of version control systems and what
/// `.gitignore` files match are skipped, except for the inputs themselves; so is what the options exclude, except for
/// an input that is a folder. Folders are listed as the walk reaches them.
struct FileWalk: Sequence, IteratorProtocol {
  enum Entry: Sendable, Equatable {
    /// A file to read, and its size; nil for a pipe.
    case file(RawPath, byteCount: Int?)
    case leftOut(RawPath, SkipReason)
  }

  private struct Pending {
    var path: RawPath
    var isInput = false
    /// The input that it is below.
    var input: RawPath
    var ignored: IgnoreChain
  }

  private var pending: [Pending]
  private var visited: Set<FileIdentity>
  private let excluded: IgnoreRules
  private let readsGitignore: Bool
  private static let versionControl: Set<[UInt8]> = Set([".git", ".hg", ".svn"].map { Array($0.utf8) })

  /// Files and folders in `excluded` are not visited. Throws `badInput` when an input does not exist.
  init(inputs: [String], excluding excluded: Set<FileIdentity> = [], options: ReadingOptions = ReadingOptions()) throws
  {
    pending = inputs.reversed().map { input in
      Pending(path: RawPath(input), isInput: true, input: RawPath(input), ignored: IgnoreChain())
    }
    visited = excluded
    self.excluded = IgnoreRules(patterns: options.exclude)
    readsGitignore = options.readsGitignore
    for input in pending where input.path.status() == nil {
      throw ForgeError.badInput(
        "cannot read '\(input.path.string)': \(String(cString: strerror(errno)))",
        code: .system(errno, else: .fileUnreadable))
    }
  }

  /// The next file, or one that is skipped.
  mutating func next() -> Entry? {
    while let entry = pending.popLast() {
      let path = entry.path
      if !entry.isInput, Self.versionControl.contains(Array(path.name)) { return .leftOut(path, .versionControl) }
      guard let status = path.status() else { return .leftOut(path, .unreadable) }
      let kind = status.st_mode & S_IFMT
      let isFolder = kind == S_IFDIR
      let isStream = kind == S_IFIFO || kind == S_IFCHR || kind == S_IFSOCK
      guard !visited.contains(FileIdentity(status)) else { continue }
      if let reason = reason(toLeaveOut: entry, isFolder: isFolder) { return .leftOut(path, reason) }
      guard kind == S_IFREG || isFolder || isStream && entry.isInput else { return .leftOut(path, .special) }
      visited.insert(FileIdentity(status))
      if !isFolder { return .file(path, byteCount: kind == S_IFREG ? Int(status.st_size) : nil) }
      guard let names = Self.entries(of: path) else { return .leftOut(path, .unreadable) }
      pending += children(of: entry, names: names)
    }
    return nil
  }

  private func reason(toLeaveOut entry: Pending, isFolder: Bool) -> SkipReason? {
    let relative = entry.isInput ? entry.path.name : entry.path.bytes.dropFirst(entry.input.bytes.count)
    // Patterns are relative to an input that is a folder.
    if !(entry.isInput && isFolder), excluded.isIgnored(relative, isFolder: isFolder) == true { return .excluded }
    return !entry.isInput && entry.ignored.ignores(entry.path, isFolder: isFolder) ? .ignored : nil
  }

  private func children(of folder: Pending, names: [[UInt8]]) -> [Pending] {
    var ignored = folder.ignored
    if readsGitignore {
      if folder.isInput { ignored = Gitignore.above(folder.path) }
      if names.contains(Gitignore.name) {
        ignored.append(Gitignore.rules(in: folder.path), hidden: folder.path.appending([]).bytes.count)
      }
    }
    return names.sorted { $1.lexicographicallyPrecedes($0) }.map { name in
      Pending(path: folder.path.appending(name), input: folder.input, ignored: ignored)
    }
  }

  /// The names in a folder; nil when it cannot be listed.
  private static func entries(of folder: RawPath) -> [[UInt8]]? {
    guard let stream = opendir(folder.cString) else { return nil }
    defer { closedir(stream) }
    var names: [[UInt8]] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
      if name != [0x2E] && name != [0x2E, 0x2E] { names.append(name) }
    }
    return names
  }
}

/// The `.gitignore` files of a work tree.
private enum Gitignore {
  static let name = Array(".gitignore".utf8)

  static func rules(in folder: RawPath) -> IgnoreRules {
    IgnoreRules(text: (try? folder.appending(name).contents(limit: 1 << 20)) ?? [])
  }

  /// The patterns of the folders above an input, from the root of its work tree.
  static func above(_ input: RawPath) -> IgnoreChain {
    var chain = IgnoreChain()
    guard let real = realpath(input.cString, nil) else { return chain }
    defer { free(real) }
    let absolute = Array(UnsafeBufferPointer(start: real, count: strlen(real))).map(UInt8.init(bitPattern:))
    var folders: [RawPath] = []
    var folder = RawPath(bytes: absolute)
    while folder.appending(Array(".git".utf8)).status() == nil {
      guard folder.bytes.count > 1, let slash = folder.bytes.lastIndex(of: UInt8(ascii: "/")) else { return chain }
      folder = RawPath(bytes: slash == 0 ? [UInt8(ascii: "/")] : Array(folder.bytes[..<slash]))
      folders.append(folder)
    }
    let hidden = input.appending([]).bytes.count
    for folder in folders.reversed() {
      let prefix = absolute.dropFirst(folder.appending([]).bytes.count) + [UInt8(ascii: "/")]
      chain.append(rules(in: folder), prefix: Array(prefix), hidden: hidden)
    }
    return chain
  }
}
