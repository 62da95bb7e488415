/// The pre-tokenization pattern, which splits text into words before merging: one of the published regular expressions,
/// implemented by `WordScanner`.
public enum SplitPattern: String, CaseIterable, Sendable {
  /// Llama 3: numbers in groups of up to three digits.
  case llamaBPE = "llama-bpe"
  /// Qwen 2 and 3: one digit at a time.
  case qwen2
  /// GPT-2: whole numbers, line ends treated as other white space.
  case gpt2

  /// The regular expression, as `tokenizer.json` spells it.
  public var regularExpression: String {
    switch self {
    case .llamaBPE: Self.modern(digits: #"\p{N}{1,3}"#)
    case .qwen2: Self.modern(digits: #"\p{N}"#)
    case .gpt2: #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    }
  }

  /// The pattern of a regular expression in any of its known spellings; nil for any other.
  init?(regularExpression: String) {
    let plain = regularExpression.filter { !$0.isWhitespace || $0 == " " }
      .replacing("'(?i:[sdmt]|ll|ve|re)", with: "(?i:'s|'t|'re|'ve|'m|'ll|'d)")
      .replacing("'(?:[sdmt]|ll|ve|re)", with: "'s|'t|'re|'ve|'m|'ll|'d")
      .replacing("(?:$|(?!\\S))", with: "(?!\\S)")
    guard let known = Self.allCases.first(where: { $0.regularExpression == plain }) else { return nil }
    self = known
  }

  private static func modern(digits: String) -> String {
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + digits
      + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }

  /// The max digits in one word.
  var maximumDigits: Int {
    switch self {
    case .llamaBPE: 3
    case .qwen2: 1
    case .gpt2: .max
    }
  }

  /// Whether the pattern is GPT-2's: only a space can open a word or a number, contractions are lower case, and line
  /// ends are ordinary white space.
  var isClassic: Bool { self == .gpt2 }
}
