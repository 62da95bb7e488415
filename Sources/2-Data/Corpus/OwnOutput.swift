import DocumentText

/// Detection of files that these programs wrote, by their contents; they are not documents, wherever they are.
enum OwnOutput {
  /// Members in the first object of such a file.
  private static let signatures: [Set<String>] = [
    // dataset.json, documents.jsonl and digests of a dataset.
    ["version", "inputs", "tokenizer", "held_out", "train", "validation"],
    ["id", "path", "split", "tokens", "bytes"],
    ["version", "chunk_bytes", "bin", "idx"],
    // A tokenizer's files.
    ["version", "added_tokens", "pre_tokenizer", "model"],
    ["tokenizer_class", "bos_token", "eos_token"],
    // A run's metrics and ledger.
    ["step", "loss", "learning_rate", "grad_norm"],
    ["kind", "previous", "hash"],
    // A model folder's config.json and index, a checkpoint's manifest.
    ["architectures", "model_type", "hidden_size", "num_hidden_layers"],
    ["metadata", "weight_map"],
    ["format", "step", "files", "tensors", "chunks", "root"],
  ]

  /// Files whose first object has exactly these members: ids of `forge tokenizer encode`, and the runs that use a
  /// dataset.
  private static let exactly: [Set<String>] = [["ids"], ["run", "sha256"]]

  /// Whether a file is an output of these programs. A file with a text in the member `textField` is a user's data,
  /// whatever other members its lines have.
  static func isOwn(_ bytes: [UInt8], textField: String) -> Bool {
    guard bytes.first == UInt8(ascii: "{"), let list = JSONScanner.memberNames(of: bytes) else { return false }
    let names = Set(list)
    guard exactly.contains(names) || signatures.contains(where: names.isSuperset) || isSkippedRecord(bytes, names)
    else {
      return false
    }
    return !hasText(bytes, textField: textField)
  }

  /// Whether the first object, or one of the thousand lines after the first, has a text.
  private static func hasText(_ bytes: [UInt8], textField: String) -> Bool {
    if JSONScanner.memberNames(of: bytes)?.contains(textField) ?? false { return true }
    var rest = bytes[...]
    for _ in 0..<1000 {
      guard let end = rest.firstIndex(of: UInt8(ascii: "\n")) else { return false }
      rest = rest[(end + 1)...]
      let line = rest.prefix { $0 != UInt8(ascii: "\n") }
      if JSONScanner.memberNames(of: Array(line))?.contains(textField) ?? false { return true }
    }
    return false
  }

  private static func isSkippedRecord(_ bytes: [UInt8], _ names: Set<String>) -> Bool {
    guard names.isSuperset(of: ["path", "reason"]), names.isSubset(of: ["path", "path_base64", "line", "reason"]) else {
      return false
    }
    return bytes.withUnsafeBufferPointer { bytes in
      var scanner = JSONScanner(bytes)
      var isReason = false
      try? scanner.readObject { name, scanner in
        guard name == "reason", scanner.peek() == UInt8(ascii: "\"") else { return false }
        isReason = SkipReason(rawValue: String(decoding: try scanner.readString(), as: UTF8.self)) != nil
        return true
      }
      return isReason
    }
  }
}
