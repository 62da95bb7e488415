import Support

/// The options of tokenizer training.
public struct TrainingOptions: Sendable {
  /// The max size of the vocabulary: special tokens, 256 byte symbols and merges. It is smaller when no pair is
  /// frequent enough any more.
  public var vocabularySize: Int
  /// The min count of a pair that is merged.
  public var minimumFrequency: Int
  /// The special tokens, with ids from 0 in this order.
  public var specialTokens: [String]
  /// The pre-tokenization pattern; no token crosses the end of a word.
  public var pattern: SplitPattern
  /// How many threads count words. The result does not depend on it.
  public var threads: Int

  public init(
    vocabularySize: Int, minimumFrequency: Int = 2, specialTokens: [String] = Self.mistralSpecialTokens,
    pattern: SplitPattern = .llamaBPE, threads: Int = 1
  ) {
    self.vocabularySize = vocabularySize
    self.minimumFrequency = minimumFrequency
    self.specialTokens = specialTokens
    self.pattern = pattern
    self.threads = threads
  }

  /// Mistral's control tokens with Mistral's ids, then one for padding.
  public static let mistralSpecialTokens = [
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "<pad>",
  ]

  /// The max number of threads.
  public static let maxThreads = 4096

  func validate() throws {
    let smallest = specialTokens.count + 256
    guard vocabularySize >= smallest else {
      throw ForgeError.badInput(
        "a vocabulary of \(vocabularySize) is too small: \(specialTokens.count) special tokens and 256 byte symbols "
          + "need at least \(smallest)", code: .invalidArgument)
    }
    guard vocabularySize <= ParsedTokenizer.idLimit else {
      throw ForgeError.badInput(
        "a vocabulary of \(vocabularySize) is too large: at most \(ParsedTokenizer.idLimit) tokens can be learned",
        code: .invalidArgument)
    }
    guard Set(specialTokens).count == specialTokens.count, !specialTokens.contains("") else {
      throw ForgeError.badInput(
        "the special tokens must be different from each other and not empty", code: .invalidArgument)
    }
    if let token = specialTokens.first(where: { ByteAlphabet.bytes(for: $0[...])?.count == 1 }) {
      throw ForgeError.badInput(
        "the special token '\(token)' is the symbol of a byte", hint: "make it longer", after: ": ",
        code: .invalidArgument)
    }
    guard minimumFrequency >= 1 else {
      throw ForgeError.badInput(
        "the minimum frequency of a pair must be at least 1, not \(minimumFrequency)", code: .invalidArgument)
    }
    guard (1...Self.maxThreads).contains(threads) else {
      throw ForgeError.badInput(
        "the number of threads must be between 1 and \(Self.maxThreads), not \(threads)", code: .invalidArgument)
    }
  }
}
