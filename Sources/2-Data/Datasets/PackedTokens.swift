import Batches
import Formats
import Support

/// A dataset's token stream packed into sequences: sequence `i` is tokens `[i*T, i*T + T]`, T inputs and the T targets
/// that follow them. Consecutive sequences share one token, so every token but the first is a target once, up to the
/// end of the last whole sequence.
struct PackedTokens: Sendable {
  let dataset: IndexedDataset
  let sequenceLength: Int
  let documentMask: Bool

  /// Whole sequences in the dataset.
  var count: Int { max(0, dataset.tokenCount - 1) / sequenceLength }

  /// Reads sequence `index` into a sequence of a batch; see ``TrainingData/read(_:into:sequence:)``.
  func read(_ index: Int, into batch: TokenBatch, sequence: Int) {
    let rows = batch.packing.tokens(of: sequence)
    precondition(rows.count == sequenceLength, "the batch is for sequences of another length")
    let first = index * sequenceLength
    dataset.read(first..<first + sequenceLength, into: batch.inputs[rows].pointer)
    dataset.read(first + 1..<first + 1 + sequenceLength, into: batch.targets[rows].pointer)
    let (starts, positions, weights) = (batch.documentStarts[rows], batch.positions[rows], batch.lossWeights[rows])
    weights.fill(1)
    var document = documentMask && dataset.documentCount > 0 ? dataset.document(containing: first) : nil
    var start = 0
    while start < sequenceLength {
      let next = document.map { $0 + 1 }
      let end = next.map { min(dataset.start(ofDocument: $0) - first, sequenceLength) } ?? sequenceLength
      for place in start..<end {
        starts[place] = Int32(start)
        positions[place] = Int32(place - start)
      }
      // The first token of another document cannot be predicted.
      if end > 0, end < sequenceLength { weights[end - 1] = 0 }
      (document, start) = (next, end)
    }
  }

  /// Checks that the tokens of one of `parts` equal parts are in the vocabulary.
  ///
  /// - Parameter checked: by a dataset's prefix, the size of a vocabulary that its ids are known to be in.
  func check(vocabularySize: Int, part: Int, of parts: Int, checked: [String: Int] = [:]) throws {
    if let known = checked[dataset.prefix], known <= vocabularySize { return }
    func start(ofPart part: Int) -> Int {
      dataset.tokenCount / parts * part + min(part, dataset.tokenCount % parts)
    }
    let range = start(ofPart: part)..<start(ofPart: part + 1)
    guard let token = dataset.firstToken(outsideVocabulary: vocabularySize, in: range) else { return }
    throw ForgeError.badInput(
      "'\(dataset.dataPath)' has token id \(token.id) at position \(token.position), but the model's vocabulary has "
        + "\(vocabularySize) entries: it was prepared with another tokenizer", code: .tokenizerMismatch)
  }
}
