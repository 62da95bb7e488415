import Foundation

/// A change to the disk, with paths relative to the simulated folder; `synchronize…` are kept when they do nothing.
enum DiskOperation: Sendable {
  case makeFolder(String)
  case create(String)
  case write(String, offset: Int, bytes: [UInt8])
  case synchronize(String)
  case close(String)
  case synchronizeFolder(String)
  case rename(String, to: String)
  case removeFile(String)
  case removeFolder(String)
  /// Not a change: a commit returned.
  case committed

  var path: String {
    switch self {
    case .makeFolder(let path), .create(let path), .write(let path, _, _), .synchronize(let path), .close(let path),
      .synchronizeFolder(let path), .rename(let path, _), .removeFile(let path), .removeFolder(let path):
      path
    case .committed: ""
    }
  }

  /// The operation without its numbers, so that the same line of code always makes the same one.
  var kind: String {
    let name = "\(Mirror(reflecting: self).children.first?.label ?? "committed")"
    return "\(name) \(path)".replacing(#/\d+/#, with: "N")
  }
}

/// A tree of folders (nil) and files (the number of their contents in a ``ContentStore``) by path.
typealias DiskImage = [String: Int?]

/// Every content that any file had, numbered, so that trees are cheap to compare.
final class ContentStore {
  private(set) var contents: [[UInt8]] = [[]]
  private var numbers: [[UInt8]: Int] = [[]: 0]

  func number(_ content: [UInt8]) -> Int {
    if let known = numbers[content] { return known }
    contents.append(content)
    numbers[content] = contents.count - 1
    return contents.count - 1
  }
}

/// The contents of a disk, and which parts of them a power failure may lose: what POSIX guarantees and nothing more.
///
/// The data of a file are durable once the file was synchronised, the names in a folder once the folder was. Until then
/// any of the changes may have reached the disk and any other not, in any order. Only a rename is atomic.
struct SimulatedDisk {
  private enum Change {
    case set(String, Int)
    case remove(String, Int)
    case move(String, to: String, Int)
  }

  private struct Folder {
    var now: [String: Int] = [:]
    var safe: [String: Int] = [:]
    var pending: [Change] = []
  }

  private struct File {
    var now = 0
    var safe = 0
  }

  private enum Node {
    case file(File)
    case folder(Folder)
  }

  let store: ContentStore
  private var nodes: [Node] = [.folder(Folder())]

  /// A disk on which everything is durable.
  init(_ image: DiskImage = [:], store: ContentStore) {
    self.store = store
    for path in image.keys.sorted() {
      guard let content = image[path] else { continue }
      nodes.append(content.map { .file(File(now: $0, safe: $0)) } ?? .folder(Folder()))
      let number = nodes.count - 1
      let (parent, name) = place(path)
      edit(parent) { folder in
        folder.now[name] = number
        folder.safe[name] = number
      }
    }
  }

  // MARK: Changes

  private func place(_ path: String) -> (parent: Int, name: String) {
    let parts = path.split(separator: "/")
    return (node(parts.dropLast()), parts.last.map(String.init) ?? "")
  }

  private func node(_ parts: some Sequence<Substring>) -> Int {
    parts.reduce(0) { number, part in
      guard case .folder(let folder) = nodes[number], let next = folder.now[String(part)] else {
        preconditionFailure("\(part) is not there")
      }
      return next
    }
  }

  private mutating func edit(_ number: Int, _ body: (inout Folder) -> Void) {
    guard case .folder(var folder) = nodes[number] else { preconditionFailure("not a folder") }
    body(&folder)
    nodes[number] = .folder(folder)
  }

  /// - Parameter isDropped: a synchronisation that does nothing.
  mutating func apply(_ operation: DiskOperation, isDropped: Bool = false) {
    switch operation {
    case .makeFolder(let path), .create(let path):
      let (parent, name) = place(path)
      guard case .folder(let folder) = nodes[parent] else { return }
      var made = Node.file(File())
      if case .makeFolder = operation {
        if folder.now[name] != nil { return }
        made = .folder(Folder())
      }
      nodes.append(made)
      let number = nodes.count - 1
      edit(parent) { folder in
        folder.now[name] = number
        folder.pending.append(.set(name, number))
      }
    case .write(let path, let offset, let bytes):
      let number = node(path.split(separator: "/"))
      guard case .file(var file) = nodes[number] else { return }
      var content = store.contents[file.now]
      if content.count < offset + bytes.count {
        content += [UInt8](repeating: 0, count: offset + bytes.count - content.count)
      }
      content.replaceSubrange(offset..<offset + bytes.count, with: bytes)
      file.now = store.number(content)
      nodes[number] = .file(file)
    case .synchronize(let path):
      let number = node(path.split(separator: "/"))
      guard !isDropped, case .file(let file) = nodes[number] else { return }
      nodes[number] = .file(File(now: file.now, safe: file.now))
    case .synchronizeFolder(let path):
      guard !isDropped else { return }
      edit(node(path.split(separator: "/"))) { folder in
        folder.safe = folder.now
        folder.pending = []
      }
    case .rename(let path, let newPath):
      let ((parent, name), (_, newName)) = (place(path), place(newPath))
      edit(parent) { folder in
        guard let number = folder.now.removeValue(forKey: name) else { return }
        folder.now[newName] = number
        folder.pending.append(.move(name, to: newName, number))
      }
    case .removeFile(let path), .removeFolder(let path):
      let (parent, name) = place(path)
      edit(parent) { folder in
        guard let number = folder.now.removeValue(forKey: name) else { return }
        folder.pending.append(.remove(name, number))
      }
    case .close, .committed: break
    }
  }

  // MARK: What is left

  /// The disk as programs see it, which is what remains when only the process is killed.
  var image: DiskImage { image(entries: [:], contents: [:]) }

  /// The trees that a power failure may leave, ``image`` among them.
  ///
  /// - Parameter isThorough: false tries, for each folder, its changes one at a time and not their combinations.
  func survivors(isThorough: Bool) -> [DiskImage] {
    var choices: [[Int: [String: Int]]] = [[:]]
    var files: [Int: File] = [:]
    for (number, node) in nodes.enumerated() {
      switch node {
      case .file(let file): if file.now != file.safe { files[number] = file }
      case .folder(let folder):
        let outcomes = Self.outcomes(folder, isThorough: isThorough)
        guard outcomes.count > 1 else { continue }
        if choices.count * outcomes.count <= 128 {
          choices = choices.flatMap { choice in outcomes.map { choice.merging([number: $0]) { $1 } } }
        } else {
          choices += outcomes.map { [number: $0] }
        }
      }
    }
    let contents = damages(files)
    let images = choices.flatMap { entries in contents.map { image(entries: entries, contents: $0) } }
    var seen: Set<DiskImage> = []
    return images.filter { seen.insert($0).inserted }
  }

  /// The names that a folder may have: any of the changes happened and the others did not.
  private static func outcomes(_ folder: Folder, isThorough: Bool) -> [[String: Int]] {
    let count = folder.pending.count
    var subsets: [[Int]]
    if isThorough && count <= 5 {
      subsets = (0..<1 << count).map { mask in (0..<count).filter { mask >> $0 & 1 == 1 } }
    } else {
      let all = Array(0..<count)
      subsets = [all, []] + all.map { [$0] } + all.map { one in all.filter { $0 != one } }
      if isThorough { subsets += all.map { Array(all.prefix($0)) } }
    }
    var outcomes: [[String: Int]] = []
    for subset in subsets {
      let entries = subset.reduce(into: folder.safe) { entries, index in
        switch folder.pending[index] {
        case .set(let name, let number): entries[name] = number
        case .remove(let name, let number): if entries[name] == number { entries[name] = nil }
        case .move(let name, let newName, let number):
          if entries[name] == number { entries[name] = nil }
          entries[newName] = number
        }
      }
      if !outcomes.contains(entries) { outcomes.append(entries) }
    }
    return outcomes
  }

  /// What may be in the files that were not synchronised: all of it, nothing new, its beginning, zeros; and the same for
  /// one of them alone.
  private func damages(_ files: [Int: File]) -> [[Int: Int]] {
    guard !files.isEmpty else { return [[:]] }
    let kinds: [(File) -> Int] = [
      { $0.safe },
      { [store] in store.number(Array(store.contents[$0.now].prefix(store.contents[$0.now].count / 2))) },
      { [store] in store.number([UInt8](repeating: 0, count: store.contents[$0.now].count)) },
    ]
    var result = [[:]] + kinds.map { kind in files.mapValues(kind) }
    if files.count > 1 {
      for (number, file) in files.sorted(by: { $0.key < $1.key }) { result += kinds.map { [number: $0(file)] } }
    }
    return result
  }

  private func image(entries: [Int: [String: Int]], contents: [Int: Int]) -> DiskImage {
    var image: DiskImage = [:]
    func add(_ number: Int, _ path: String) {
      guard case .folder(let folder) = nodes[number] else { return }
      for (name, child) in entries[number] ?? folder.now {
        let childPath = path.isEmpty ? name : "\(path)/\(name)"
        switch nodes[child] {
        case .file(let file): image[childPath] = .some(contents[child] ?? file.now)
        case .folder:
          image[childPath] = .some(nil)
          add(child, childPath)
        }
      }
    }
    add(0, "")
    return image
  }
}

extension ContentStore {
  /// Makes a folder look like an image.
  func materialize(_ image: DiskImage, at root: String) throws {
    try? FileManager.default.removeItem(atPath: root)
    guard mkdir(root, 0o777) == 0 else { throw POSIXError(.EIO) }
    for path in image.keys.sorted() {
      guard let content = image[path] else { continue }
      let whole = "\(root)/\(path)"
      guard let content else {
        guard mkdir(whole, 0o777) == 0 else { throw POSIXError(.EIO) }
        continue
      }
      let descriptor = open(whole, O_WRONLY | O_CREAT | O_TRUNC, 0o666)
      defer { close(descriptor) }
      let count = contents[content].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      guard count == contents[content].count else { throw POSIXError(.EIO) }
    }
  }
}
