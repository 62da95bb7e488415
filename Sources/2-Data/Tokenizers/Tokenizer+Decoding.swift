extension Tokenizer {
  /// Decodes ids to bytes. Ids that the tokenizer does not have decode to nothing.
  ///
  /// - Parameter skipSpecialTokens: whether special tokens, and those around documents, are skipped.
  public func decode(_ ids: some Sequence<Int32>, skipSpecialTokens: Bool = true) -> [UInt8] {
    var bytes: [UInt8] = []
    for id in ids where !(skipSpecialTokens && controlIDs.contains(id)) {
      bytes.append(contentsOf: vocabulary[id])
    }
    return bytes
  }
}
