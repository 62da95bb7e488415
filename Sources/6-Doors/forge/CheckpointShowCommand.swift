import ArgumentParser
import Checkpoints
import Foundation

struct CheckpointShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show a checkpoint's metadata and how each of its tensors is stored.")

  @Argument(help: "A checkpoint; of a run, the one that latest names.")
  var checkpoint: String

  func run() throws {
    let reader = try CheckpointReader(path: checkpoint)
    typealias Command = CheckpointCommand
    var text = """
      \(reader.path)
      step \(reader.step), root hash \(reader.root)
      \(Command.size(reader.storedBytes)) of \(Command.size(reader.rawBytes)) \
      (\(Command.percent(reader.storedBytes, of: reader.rawBytes))), \(reader.chunkCount) chunks in \
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
      let planes = storage.planes.map { Command.percent($0, of: storage.tensor.elementCount) }
      table.add([
        storage.tensor.name, storage.tensor.dtype.rawValue, "\(storage.tensor.shape)", Command.size(storage.rawBytes),
        Command.size(storage.storedBytes), Command.percent(storage.storedBytes, of: storage.rawBytes),
        "\(storage.chunks)", planes.joined(separator: " "),
      ])
    }
    try StandardOutput.write(text + "\n" + table.text)
  }
}
