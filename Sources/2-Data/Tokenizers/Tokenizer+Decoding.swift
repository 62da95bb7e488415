extension Tokenizer {
  /// The bytes that ids stand for. Ids that the tokenizer does not have stand for nothing.
  ///
  /// - Parameter skipSpecialTokens: whether special tokens, and those around documents, are left out.
  public func decode(_ ids: some Sequence<Int32>, skipSpecialTokens: Bool = true) -> [UInt8] {
    var bytes: [UInt8] = []
    for id in ids where !(skipSpecialTokens && controlIDs.contains(id)) {
      bytes.append(contentsOf: vocabulary[id])
    }
    return bytes
  }
}
