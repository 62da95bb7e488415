import DocumentText

/// Files that these programs wrote, told by their contents: they are no documents, wherever they lie.
enum OwnOutput {
  /// Members that the first object of such a file has.
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

  /// Members that such a file has and no others: ids of `forge tokenizer encode`, and the runs that use a dataset.
  private static let exactly: [Set<String>] = [["ids"], ["run", "sha256"]]

  static func isOwn(_ bytes: [UInt8]) -> Bool {
    guard bytes.first == UInt8(ascii: "{"), let list = JSONScanner.memberNames(of: bytes) else { return false }
    let names = Set(list)
    return exactly.contains(names) || signatures.contains { names.isSuperset(of: $0) } || isSkippedRecord(bytes, names)
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
