import Buffers
public import Support

/// The content hash of a batch of training data, independent of the rank that computes it.
///
/// A sequence's SHA-256 is over its columns, each a line `NAME TYPE COUNT` and its values as in memory (little-endian):
/// `inputs`, `targets`, `document_starts` and `positions` (int32), `loss_weights` and then the other columns by name
/// (float32). A global batch's is over a line `sequences COUNT` and its sequences' hashes, 32 bytes each, in the order
/// of the stream. So it is the same at any number of ranks, for any assignment of sequences to them.
extension TokenBatch {
  public func digest(ofSequence sequence: Int) -> SHA256.Digest {
    let rows = packing.tokens(of: sequence)
    var hash = SHA256()
    let integers = [
      ("inputs", inputs), ("targets", targets), ("document_starts", documentStarts), ("positions", positions),
    ]
    for (name, column) in integers { hash.update(name, "int32", column[rows]) }
    for column in [.lossWeights] + columns.filter({ $0 != .lossWeights }).sorted(by: { $0.name < $1.name }) {
      hash.update(column.name, "float32", self[column][rows])
    }
    return hash.finalize()
  }

  /// - Parameter sequences: the hashes of a global batch's sequences, in the order of the stream.
  public static func digest(of sequences: [SHA256.Digest]) -> SHA256.Digest {
    var hash = SHA256()
    hash.update(Array("sequences \(sequences.count)\n".utf8))
    for digest in sequences {
      for word in [digest.words.0, digest.words.1, digest.words.2, digest.words.3] {
        withUnsafeBytes(of: word.bigEndian) { hash.update($0) }
      }
    }
    return hash.finalize()
  }
}

extension SHA256 {
  fileprivate mutating func update<Element>(_ name: String, _ type: String, _ column: Buffer<Element>) {
    update(Array("\(name) \(type) \(column.count)\n".utf8))
    update(UnsafeRawBufferPointer(column.pointer))
  }
}
