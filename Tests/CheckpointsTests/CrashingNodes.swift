import Foundation

@testable import Checkpoints

/// Three nodes of a rank each with node-local checkpoints, and the states of their disks after crashes.
///
/// The nodes work concurrently and synchronise after every phase, so at a crash each is at any point of the same one.
final class CrashingNodes {
  static let count = 3
  static func shard(_ rank: Int) -> String { "shard-0000\(rank).forge" }

  /// One node's disk, and what it must hold after any crash.
  struct Node {
    var disk: SimulatedDisk
    var promises = Promises()
  }

  /// Changes, by phase and node.
  typealias Program = [[[DiskOperation]]]

  /// What is on a node after a crash, and what must be there.
  private struct Standing: Hashable {
    var holdings: [NodeLocalHolding] = []
    var promises: [Promises.Promise] = []
  }

  let store = ContentStore()
  private let temporary: TestFolder
  private var surveys: [DiskImage: (holdings: [NodeLocalHolding], complaints: [String])] = [:]
  private var standings: [Standing: Int] = [:]
  /// Combinations of the nodes' standings, by their numbers, that were verified.
  private var proven: Set<[Int]> = []
  private(set) var cases = 0
  /// Every place in the code that synchronises.
  private(set) var labels: Set<String> = []
  /// Different states of one checkpoint on one node.
  var states: Int { surveys.count }

  init() throws { temporary = try TestFolder(isInMemory: true) }

  /// Empty nodes.
  var blank: [Node] { (0..<Self.count).map { _ in Node(disk: SimulatedDisk(store: store)) } }

  private func root(_ node: Int) -> String { "\(temporary.path)/node-\(node)" }

  /// Runs a job on the nodes' disks, and records its changes.
  func record(on nodes: [Node], _ job: (CopyingJob) throws -> Void) throws -> Program {
    for (node, state) in nodes.enumerated() { try store.materialize(state.disk.image, at: root(node)) }
    let running = CopyingJob(roots: nodes.indices.map(root))
    try job(running)
    return running.program
  }

  /// The first violation after a crash at any point, for all changes that it may lose; nil when there is none.
  ///
  /// - Parameters:
  ///   - nodes: at the beginning; at the end of the program afterwards.
  ///   - loses: from which phase on there must be a whole checkpoint even when one of the nodes is lost, too.
  ///   - dropped: selects synchronisations without effect, by their label.
  ///   - visit: called after every change of the second node, when the first has done the phase and the third nothing.
  func violation(
    of program: Program, on nodes: inout [Node], losesNodesFrom loses: Int, dropping dropped: String? = nil,
    isThorough: Bool = true, visit: (_ phase: Int, DiskOperation, [Node]) throws -> String? = { _, _, _ in nil }
  ) throws -> String? {
    var standing = try nodes.map { try numbers($0, isThorough: isThorough) }
    for (phase, work) in program.enumerated() {
      let before = nodes
      var found = standing.map(\.known)
      for node in nodes.indices {
        if let complaint = standing[node].complaint { return "phase \(phase), node \(node): \(complaint)" }
        var previous = phase > 0 ? program[phase - 1][node].last : nil
        for operation in work[node] {
          let label = CrashChecker.label(operation, after: previous)?.replacing(".replaced", with: "")
          if let label { labels.insert(label) }
          previous = operation
          nodes[node].disk.apply(operation, isDropped: label != nil && label == dropped)
          nodes[node].promises.apply(operation, nodes[node].disk)
          standing[node] = try numbers(nodes[node], isThorough: isThorough)
          if let complaint = standing[node].complaint {
            return "phase \(phase), after \(operation.kind), node \(node): \(complaint)"
          }
          found[node].formUnion(standing[node].known)
          if node == 1, let violation = try visit(phase, operation, [nodes[0], nodes[1], before[2]]) {
            return "phase \(phase), killed after \(operation.kind), \(violation)"
          }
        }
      }
      if let violation = violation(among: found, losesNodes: phase >= loses) { return "phase \(phase): \(violation)" }
    }
    return nil
  }

  /// The standings that a node may have after a crash now, and the first damage.
  private func numbers(_ node: Node, isThorough: Bool) throws -> (known: Set<Int>, complaint: String?) {
    var known: Set<Int> = []
    let promises = node.promises.all
    for image in node.disk.survivors(isThorough: isThorough) {
      let survey = try survey(image)
      if let complaint = survey.complaints.first { return (known, complaint) }
      let standing = Standing(holdings: survey.holdings, promises: promises)
      let number = standings[standing] ?? standings.count
      standings[standing] = number
      known.insert(number)
    }
    return (known, nil)
  }

  /// What a node finds in a tree. Each checkpoint is read by itself, so most results are cached.
  private func survey(_ image: DiskImage) throws -> (holdings: [NodeLocalHolding], complaints: [String]) {
    var parts: [Int: DiskImage] = [:]
    for (path, content) in image {
      guard let step = Promises.place(path)?.step ?? Promises.place(path + "/")?.step else { continue }
      parts[step, default: ["checkpoints": nil]][path] = .some(content)
    }
    let found = try parts.sorted { $0.key < $1.key }.map { try survey(part: $0.value) }
    return (found.flatMap(\.holdings), found.flatMap(\.complaints))
  }

  private func survey(part image: DiskImage) throws -> (holdings: [NodeLocalHolding], complaints: [String]) {
    if let known = surveys[image] { return known }
    let path = temporary.path + "/survey"
    try store.materialize(image, at: path)
    let folder = CheckpointFolder(path: path + "/checkpoints")
    var complaints: [String] = []
    let holdings = NodeLocalHolding.all(in: folder) { complaints.append("\($0)") }
    for holding in holdings {
      let reader = try CheckpointReader(partsIn: folder.path(step: holding.step))
      complaints += holding.present.flatMap { reader.damage(in: $0) }.map { "\($0)" }
    }
    surveys[image] = (holdings, complaints)
    return (holdings, complaints)
  }

  /// Checks every combination of what the nodes may hold, with all nodes present and with each of them lost.
  private func violation(among found: [Set<Int>], losesNodes: Bool) -> String? {
    let byNumber = Dictionary(uniqueKeysWithValues: standings.map { ($1, $0) })
    for a in found[0] {
      for b in found[1] {
        for c in found[2] where !proven.contains([a, b, c, losesNodes ? 1 : 0]) {
          let nodes = [a, b, c].map { byNumber[$0] ?? Standing() }
          for lost in losesNodes ? [nil, 0, 1, 2] : [nil] {
            cases += 1
            var left = nodes
            if let lost { left[lost] = Standing() }
            if let violation = violation(of: left, needsOne: losesNodes) {
              return "\(lost.map { "node \($0) lost: " } ?? "")\(violation)"
            }
          }
          proven.insert([a, b, c, losesNodes ? 1 : 0])
        }
      }
    }
    return nil
  }

  private func violation(of nodes: [Standing], needsOne: Bool) -> String? {
    var files: [Promises.Copy: Set<String>] = [:]
    for promise in nodes.flatMap(\.promises) { files[promise.copy, default: []].formUnion(promise.files) }
    let all = Set((0..<Self.count).map(Self.shard))
    let promised = files.filter { $0.value == all }.keys.map(\.step).max()
    let chosen = NodeLocalCheckpoint.all(nodes.map(\.holdings)).first { $0.missing.isEmpty }?.step
    if needsOne, promised == nil { return "no checkpoint is certain to be whole" }
    if let promised, chosen ?? -1 < promised {
      return "step \(promised) must be whole, and \(chosen.map { "step \($0)" } ?? "none") was chosen"
    }
    return nil
  }
}

/// What a node must hold after any crash; follows from its changes alone, synchronisations included.
struct Promises {
  struct Copy: Hashable {
    var step: Int
    var root: String
  }
  struct Promise: Hashable {
    var copy: Copy
    var files: Set<String>
  }

  private var expectation = Expectation()
  /// Shards, by step.
  private var files: [Int: Set<String>] = [:]

  mutating func apply(_ operation: DiskOperation, _ disk: SimulatedDisk) {
    expectation.apply(operation)
    switch operation {
    case .synchronizeFolder("checkpoints"): files = Self.shards(disk.image)
    case .synchronizeFolder(let path):
      guard let (step, _) = Self.place("\(path)/") else { return }
      files[step] = Self.shards(disk.image)[step]
    case .removeFile(let path):
      guard let (step, file) = Self.place(path) else { return }
      files[step]?.remove(file)
    default: break
    }
  }

  /// The checkpoint that a path is in, one that is being replaced among them, and the name there.
  static func place(_ path: String) -> (step: Int, file: String)? {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 3 else { return nil }
    let name = parts[1].replacing(CheckpointFolder.replacedSuffix, with: "")
    return CheckpointFolder.step(name: name).map { ($0, parts[2]) }
  }

  private static func shards(_ image: DiskImage) -> [Int: Set<String>] {
    var result: [Int: Set<String>] = [:]
    for path in image.keys where path.hasSuffix(".forge") {
      guard let (step, file) = place(path) else { continue }
      let isReplaced = path.contains(CheckpointFolder.replacedSuffix)
      if isReplaced, image["checkpoints/\(CheckpointFolder.name(step: step))"] != nil { continue }
      result[step, default: []].insert(file)
    }
    return result
  }

  /// In ascending order.
  var all: [Promise] {
    expectation.allowed.keys.sorted().compactMap { step in
      guard let roots = expectation.allowed[step], roots.count == 1, let root = roots.first ?? nil else { return nil }
      return Promise(copy: Copy(step: step, root: root), files: files[step] ?? [])
    }
  }
}

/// A job's operations on the nodes' folders, in the order of a real job.
final class CopyingJob {
  private(set) var program: CrashingNodes.Program = []
  private let folders: [CheckpointFolder]
  private let files: [RecordingFiles]

  init(roots: [String]) {
    files = roots.map { RecordingFiles(root: $0) }
    folders = zip(roots, files).map { CheckpointFolder(path: $0 + "/checkpoints", files: $1) }
  }

  /// All nodes end it before any begins the next.
  private func phase(_ body: (Int, CheckpointFolder) throws -> Void) throws {
    let before = files.map(\.operations.count)
    for (node, folder) in folders.enumerated() { try body(node, folder) }
    program.append(zip(files, before).map { Array($0.operations[$1...]) })
  }

  /// A job begins.
  func make() throws {
    try phase { node, folder in
      let token = "\(folder.path)/.token.\(node)"
      try folder.make(withEmptyFile: token)
      try folder.files.removeFile(token)
    }
  }

  func save(_ step: Int, seed: Int) throws {
    let tensor = TensorDescription(name: "w", dtype: .u8, shape: [8 * folders.count])
    var chunks: [ChunkRecord] = []
    try phase { _, folder in try folder.begin(step: step) }
    try phase { node, folder in
      let writer = try ChunkWriter(
        folder: folder.partialPath(step: step), rank: node, level: -50, chunkBytes: 8, files: folder.files)
      let bytes = (0..<8).map { UInt8(truncatingIfNeeded: (seed * 31 + step + $0 + node) * 73) }
      try bytes.withUnsafeBytes { try writer.write(tensor: tensor, elementOffset: 8 * node, bytes: $0) }
      chunks += try writer.finish()
    }
    try phase { node, folder in
      let before = (node + folders.count - 1) % folders.count
      try copyShard(before, from: folders[before].partialPath(step: step), to: folder.partialPath(step: step), folder)
    }
    let manifest = try CheckpointFolder.manifest(
      step: step, tensors: [tensor], chunks: chunks, metadata: ["seed": .integer(seed)])
    try phase { _, folder in try folder.commit(step: step, manifest: manifest) }
    try phase { _, folder in try folder.retire(keeping: step) }
  }

  /// Restores the newest whole checkpoint; each node reads its own shard.
  ///
  /// - Parameter damaged: a node whose shard turns out to be damaged; the partner's copy is used.
  /// - Returns: the step.
  func restore(damaged: Int? = nil) throws -> Int? {
    try make()
    var found = try newest()
    if let damaged, let step = found?.step {
      try phase { node, folder in
        guard node == damaged else { return }
        try folder.files.removeFile(
          "\(CheckpointReader(partsIn: folder.path(step: step)).path)/\(CrashingNodes.shard(node))")
      }
      found = try newest()
    }
    guard let found, let source = found.nodes.first else { return nil }
    let step = found.step
    func isNew(_ node: Int) -> Bool { !found.nodes.contains(node) }
    func part(_ node: Int) throws -> CheckpointReader { try CheckpointReader(partsIn: folders[node].path(step: step)) }
    let manifest = try part(source).manifestBytes()
    try phase { node, folder in if isNew(node) { try folder.begin(step: step, manifest: manifest) } }
    try phase { node, folder in
      let holders = found.holders[CrashingNodes.shard(node)] ?? []
      guard !holders.contains(node), let holder = holders.first else { return }
      try copyShard(
        node, from: part(holder).path, to: isNew(node) ? folder.partialPath(step: step) : part(node).path, folder)
    }
    try phase { node, folder in
      if isNew(node) {
        try folder.commit(step: step, manifest: manifest)
      } else {
        try folder.files.synchronizeFolder(part(node).path)
      }
    }
    return step
  }

  private func newest() throws -> NodeLocalCheckpoint? {
    NodeLocalCheckpoint.all(folders.map { NodeLocalHolding.all(in: $0) { _ in } }).first { $0.missing.isEmpty }
  }

  private func copyShard(_ rank: Int, from source: String, to destination: String, _ folder: CheckpointFolder) throws {
    let name = CrashingNodes.shard(rank)
    let bytes = try ShardFile.contents("\(source)/\(name)")
    let copy = try ShardCopy(path: "\(destination)/\(name)", files: folder.files)
    for start in stride(from: 0, to: bytes.count, by: 16) {
      try bytes[start..<min(start + 16, bytes.count)].withUnsafeBytes { try copy.write($0, at: start) }
    }
    try copy.finish()
  }
}
