extension TrainingData {
  /// The documents of a sequence of the stream, for the report of a bad batch.
  ///
  /// - Returns: the dataset's path without `.bin`, and the numbers of the documents in it, from 0.
  public func documents(ofSequence index: Int) -> (dataset: String, documents: ClosedRange<Int>) {
    let (source, sequence) = place(of: index)
    let packed = sources[source]
    let first = sequence * sequenceLength
    let dataset = packed.dataset
    guard dataset.documentCount > 0 else { return (dataset.prefix, 0...0) }
    return (
      dataset.prefix,
      dataset.document(containing: first)...dataset.document(containing: first + sequenceLength)
    )
  }
}
