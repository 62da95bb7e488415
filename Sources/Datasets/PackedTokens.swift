import Diagnostics
import Formats

/// A dataset's token stream cut into sequences: sequence `i` is tokens `[i*T, i*T + T]`, T inputs and the T targets
/// that follow them, so that neighbours share one token and every token but the first is a target once.
struct PackedTokens: Sendable {
  let dataset: IndexedDataset
  let sequenceLength: Int
  let documentMask: Bool

  /// Whole sequences in the dataset.
  var count: Int { max(0, dataset.tokenCount - 1) / sequenceLength }

  /// Reads sequence `index`; see ``TrainingData/read(sequence:tokens:documentStarts:)``.
  func read(
    _ index: Int, tokens: UnsafeMutableBufferPointer<Int32>, documentStarts: UnsafeMutableBufferPointer<Int32>
  ) {
    precondition(tokens.count == sequenceLength + 1 && documentStarts.count == sequenceLength)
    let first = index * sequenceLength
    dataset.read(first..<first + sequenceLength + 1, into: tokens)
    guard documentMask, dataset.documentCount > 0 else {
      documentStarts.update(repeating: 0)
      return
    }
    var document = dataset.document(containing: first)
    var start = 0
    while start < sequenceLength {
      document += 1
      let end = min(dataset.start(ofDocument: document) - first, sequenceLength)
      documentStarts[start..<end].update(repeating: Int32(start))
      start = end
    }
  }

  /// Checks that every token is in the vocabulary, or one of `parts` equal parts of the tokens.
  ///
  /// - Parameter checked: of datasets whose ids are known to be below this.
  func check(vocabularySize: Int, part: Int, of parts: Int, checked: [String: Int] = [:]) throws {
    if let known = checked[dataset.prefix], known <= vocabularySize { return }
    func start(ofPart part: Int) -> Int {
      dataset.tokenCount / parts * part + min(part, dataset.tokenCount % parts)
    }
    let range = start(ofPart: part)..<start(ofPart: part + 1)
    guard let token = dataset.firstToken(outsideVocabulary: vocabularySize, in: range) else { return }
    throw ForgeError.badInput(
      "'\(dataset.dataPath)' has token id \(token.id) at position \(token.position), but the model's vocabulary has "
        + "\(vocabularySize) entries: it was prepared with another tokenizer")
  }
}
