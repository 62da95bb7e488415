import Checkpoints
import Support

/// A request for a checkpoint's metadata and the storage of each of its tensors.
public struct ShowCheckpoint: Command {
  /// A checkpoint, or a run, of which `latest` names the checkpoint.
  public var checkpoint: String

  public init(checkpoint: String) { self.checkpoint = checkpoint }

  public func run(_ sinks: CommandSinks) throws -> CheckpointContents {
    CheckpointContents(reader: try CheckpointReader(path: checkpoint))
  }
}

/// The contents of a checkpoint: metadata, and tensors with their sizes.
public struct CheckpointContents: CommandResult {
  let reader: CheckpointReader

  public var text: String {
    var text = """
      \(reader.path)
      step \(reader.step), root hash \(reader.root)
      \(Words.size(reader.storedBytes)) of \(Words.size(reader.rawBytes)) \
      (\(Words.percent(reader.storedBytes, of: reader.rawBytes))), \(reader.chunkCount) chunks in \
      \(reader.fileCount) files

      metadata

      """
    for (key, value) in reader.metadata.leaves.sorted(by: { $0.key < $1.key }) {
      let lines = value.text.split(separator: "\n", omittingEmptySubsequences: false)
      text += "  \(key):" + (lines.count > 1 ? "\n" : " ")
      text += lines.count > 1 ? lines.map { "    \($0)\n" }.joined() : value.text + "\n"
    }
    var table = TextTable(header: ["tensor", "type", "shape", "raw", "stored", "of raw", "chunks", "planes, of raw"])
    for storage in reader.storage {
      let planes = storage.planes.map { Words.percent($0, of: storage.tensor.elementCount) }
      table.add([
        storage.tensor.name, storage.tensor.dtype.rawValue, "\(storage.tensor.shape)", Words.size(storage.rawBytes),
        Words.size(storage.storedBytes), Words.percent(storage.storedBytes, of: storage.rawBytes), "\(storage.chunks)",
        planes.joined(separator: " "),
      ])
    }
    return text + "\n" + table.text
  }

  public var json: JSONLine {
    let tensors = reader.storage.map { storage in
      JSONLine.object([
        ("name", .string(storage.tensor.name)), ("type", .string(storage.tensor.dtype.rawValue)),
        ("shape", .integers(storage.tensor.shape)), ("raw_bytes", .integer(storage.rawBytes)),
        ("stored_bytes", .integer(storage.storedBytes)), ("chunks", .integer(storage.chunks)),
        ("plane_bytes", .integers(storage.planes)),
      ])
    }
    return .object([
      ("path", .path(reader.path)), ("step", .integer(reader.step)), ("root", .string("\(reader.root)")),
      ("stored_bytes", .integer(reader.storedBytes)), ("raw_bytes", .integer(reader.rawBytes)),
      ("chunks", .integer(reader.chunkCount)), ("files", .integer(reader.fileCount)),
      ("metadata", .value(reader.metadata)), ("tensors", .list(tensors)),
    ])
  }
}
