import Batches
import Support

/// The SHA-256 of each sequence of a global batch, as integers whose sum over ranks is the whole list: a rank puts those of
/// its own sequences at their places among zeros.
struct SequenceDigests {
  /// `[sequences · 4]`
  var words: [Int64]

  /// - Parameter sequences: of the global batch.
  init(sequences: Int) { words = Array(repeating: 0, count: 4 * sequences) }

  /// - Parameter first: the place in the global batch of the micro-batch's first sequence.
  mutating func add(_ batch: TokenBatch, first: Int) {
    for sequence in 0..<batch.sequences {
      let digest = batch.digest(ofSequence: sequence).words
      for (place, word) in [digest.0, digest.1, digest.2, digest.3].enumerated() {
        words[4 * (first + sequence) + place] = Int64(bitPattern: word)
      }
    }
  }

  /// Of the global batch, once the words of all ranks are added up.
  var batch: SHA256.Digest {
    let words = words.map { UInt64(bitPattern: $0) }
    return TokenBatch.digest(
      of: stride(from: 0, to: words.count, by: 4).map {
        SHA256.Digest(words: (words[$0], words[$0 + 1], words[$0 + 2], words[$0 + 3]))
      })
  }
}
