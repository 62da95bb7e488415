import DocumentText
import Support

/// The options of reading documents: which files, and how.
public struct ReadingOptions: Sendable {
  /// The encoding of text that is not UTF-8, has no byte order mark and declares none, by any label of the Encoding
  /// standard; nil skips such text.
  public var encoding: String?
  /// The member of a JSON Lines object that holds a document's text.
  public var textField: String
  /// Patterns, as in a `.gitignore`, of what is skipped.
  public var exclude: [String]
  /// Whether what `.gitignore` files match is skipped.
  public var readsGitignore: Bool
  /// Whether text that is lost or has invalid bytes is an error.
  public var isStrict: Bool

  public init(
    encoding: String? = nil, textField: String = "text", exclude: [String] = [], readsGitignore: Bool = true,
    isStrict: Bool = false
  ) {
    self.encoding = encoding
    self.textField = textField
    self.exclude = exclude
    self.readsGitignore = readsGitignore
    self.isStrict = isStrict
  }

  /// The max threads that read documents.
  public static let maximumThreads = 1024

  /// Throws `badInput` for an unknown or unavailable encoding, and for a number of threads out of range.
  func extractor(threads: Int) throws -> TextExtractor {
    guard (1...Self.maximumThreads).contains(threads) else {
      throw ForgeError.badInput(
        "the number of threads must be from 1 to \(Self.maximumThreads), not \(threads)", code: .invalidArgument)
    }
    guard let encoding else { return TextExtractor(textField: textField) }
    guard let known = TextEncoding(label: encoding), known.isAvailable else {
      throw ForgeError.badInput(
        "there is no encoding '\(encoding)' here",
        hint: "name one as web pages do, such as windows-1252, shift_jis or gbk", after: ": ", code: .invalidArgument)
    }
    return TextExtractor(encoding: known, textField: textField)
  }
}
