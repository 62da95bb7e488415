import Datasets
import Formats
import Foundation

/// The index of a dataset, and a search in what it describes. The first two bytes are the size of the tokens' file.
func fuzzIndex(_ bytes: UnsafeRawBufferPointer) throws {
  guard bytes.count >= 2 else { return }
  let prefix = FileManager.default.temporaryDirectory.path + "/forge-fuzz-\(getpid())"
  let tokens = Data(count: Int(bytes[0]) << 8 | Int(bytes[1]))
  try tokens.write(to: URL(fileURLWithPath: prefix + ".bin"))
  try Data(bytes.dropFirst(2)).write(to: URL(fileURLWithPath: prefix + ".idx"))
  let dataset = try IndexedDataset(prefix: prefix)
  _ = dataset.firstToken(outsideVocabulary: 100, in: 0..<dataset.tokenCount)
  for position in stride(from: 0, to: dataset.tokenCount, by: max(1, dataset.tokenCount / 64)) {
    guard dataset.documentCount > 0 else { break }
    let document = dataset.document(containing: position)
    precondition(dataset.start(ofDocument: document) <= position)
  }
}
