import Batches
import Support

/// The SHA-256 digests of a global batch's sequences as integers, gathered over ranks by summation: each rank writes
/// those of its own sequences, and zeros elsewhere.
struct SequenceDigests {
  /// `[sequences · 4]`
  var words: [Int64]

  /// - Parameter sequences: of the global batch.
  init(sequences: Int) { words = Array(repeating: 0, count: 4 * sequences) }

  /// Adds the digests of a micro-batch.
  ///
  /// - Parameter first: the index in the global batch of the micro-batch's first sequence.
  mutating func add(_ batch: TokenBatch, first: Int) {
    for sequence in 0..<batch.sequences {
      let digest = batch.digest(ofSequence: sequence).words
      for (place, word) in [digest.0, digest.1, digest.2, digest.3].enumerated() {
        words[4 * (first + sequence) + place] = Int64(bitPattern: word)
      }
    }
  }

  /// The digest of the global batch, after the words have been summed over ranks.
  var batch: SHA256.Digest {
    let words = words.map { UInt64(bitPattern: $0) }
    return TokenBatch.digest(
      of: stride(from: 0, to: words.count, by: 4).map {
        SHA256.Digest(words: (words[$0], words[$0 + 1], words[$0 + 2], words[$0 + 3]))
      })
  }
}
