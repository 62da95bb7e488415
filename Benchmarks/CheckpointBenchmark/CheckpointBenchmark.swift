import ArgumentParser
import Checkpoints
import Foundation
import Support

/// Saves and restores a checkpoint's state from memory, on request, and prints the time of each.
///
/// Driven by `scripts/benchmark-checkpoint`, which alternates it with other programs.
@main
struct CheckpointBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "checkpoint-benchmark",
    abstract: "Time copies, saves and restores of a checkpoint's state.",
    discussion: """
      Reads commands from standard input, one a line, and answers each with its seconds:
        copy      copy the state within memory
        encode    compress and hash it, and write nothing
        save      save it as a checkpoint, until that is durable; there must be none
        restore   read the saved checkpoint back, verified
      """)

  @Argument(help: "The checkpoint whose state is used.")
  var source: String

  @Argument(help: "The folder to save into.")
  var folder: String

  @Option(help: "Compression level of zstd, by default that of a run.")
  var level = -50

  @Option(help: "Threads.")
  var threads = 2

  func run() throws {
    let reader = try CheckpointReader(path: source)
    let state = Memory(byteCount: reader.rawBytes)
    let room = Memory(byteCount: reader.rawBytes)
    try reader.read(requests(reader.tensors, in: state), threads: threads)
    room.copy(state)  // its pages are touched from now on
    let checkpoints = CheckpointFolder(path: folder)
    answer("ready")
    let pieces = requests(reader.tensors, in: state).map {
      ChunkWriter.Piece(
        tensor: reader[$0.tensor] ?? reader.tensors[0], elementOffset: 0, bytes: UnsafeRawBufferPointer($0.destination))
    }
    while let command = readLine() {
      let start = ContinuousClock.now
      switch command {
      case "copy": room.copy(state)
      case "encode":
        let writer = try ChunkWriter(folder: folder, rank: 0, level: level, threads: threads, files: NoFiles())
        try writer.write(pieces)
        _ = try writer.finish()
      case "save":
        let writer = try ChunkWriter(folder: checkpoints.begin(step: 1), rank: 0, level: level, threads: threads)
        try writer.write(pieces)
        try checkpoints.commit(step: 1, tensors: reader.tensors, chunks: writer.finish(), metadata: nil)
      case "restore":
        let saved = try CheckpointReader(path: checkpoints.path(step: 1))
        try saved.read(requests(saved.tensors, in: room), threads: threads)
      default: throw ValidationError("no command is called '\(command)'")
      }
      answer("\((ContinuousClock.now - start) / .seconds(1))")
    }
    guard room == state else { throw ForgeError(.bug, "what was restored is not what was saved", code: .internalError) }
  }

  /// All tensors, one after another.
  private func requests(_ tensors: [TensorDescription], in memory: Memory) -> [CheckpointReader.Request] {
    var offset = 0
    return tensors.map { tensor in
      let length = tensor.elementCount * tensor.dtype.width
      defer { offset += length }
      let room = UnsafeMutableRawBufferPointer(rebasing: memory.bytes[offset..<offset + length])
      return CheckpointReader.Request(tensor: tensor.name, elements: 0..<tensor.elementCount, destination: room)
    }
  }

  private func answer(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }
}

/// A block of memory, its pages touched.
private final class Memory: Equatable {
  let bytes: UnsafeMutableRawBufferPointer

  init(byteCount: Int) {
    bytes = .allocate(byteCount: byteCount, alignment: 4096)
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit { bytes.deallocate() }

  func copy(_ other: Memory) { bytes.copyMemory(from: UnsafeRawBufferPointer(other.bytes)) }

  static func == (left: Memory, right: Memory) -> Bool {
    guard left.bytes.count == right.bytes.count, let first = left.bytes.baseAddress,
      let second = right.bytes.baseAddress
    else { return false }
    return memcmp(first, second, left.bytes.count) == 0
  }
}

/// A sink that discards all data.
private struct NoFiles: FileOperations {
  func makeFolder(_ path: String) {}
  func create(_ path: String) -> OpenFile { OpenFile(descriptor: -1, path: path) }
  func write(_ bytes: UnsafeRawBufferPointer, to file: OpenFile, at offset: Int) {}
  func synchronize(_ file: OpenFile) {}
  func close(_ file: OpenFile) {}
  func synchronizeFolder(_ path: String) {}
  func rename(_ path: String, to newPath: String) {}
  func removeFile(_ path: String) {}
  func removeFolder(_ path: String) {}
}
