import Checkpoints
import Datasets
import Formats
import Foundation
import Support

/// The manifest of a checkpoint, given the root hash that it should end with; and a dataset's digest.
func fuzzManifest(_ bytes: UnsafeRawBufferPointer) throws {
  let folder = FileManager.default.temporaryDirectory.path + "/forge-fuzz-\(getpid())"
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  let text = Data(bytes) + Data("\"root\":\"\(SHA256.hash(bytes).hexadecimal)\"}\n".utf8)
  try text.write(to: URL(fileURLWithPath: folder + "/manifest.json"))
  _ = try? DatasetDigest(json: Data(bytes), path: "train.digest.json")
  _ = try CheckpointReader(path: folder)
}
