import DocumentText
import Support

/// Which files are read below the inputs, and how.
public struct ReadingOptions: Sendable {
  /// The encoding of text that is neither UTF-8 nor UTF-16 by its mark and does not name its own, by any label of the
  /// Encoding standard; nil leaves such text out.
  public var encoding: String?
  /// The member of a JSON Lines object that holds a document's text.
  public var textField: String
  /// Patterns, as in a `.gitignore`, of what is not read.
  public var exclude: [String]
  /// Whether what `.gitignore` files name is not read.
  public var readsGitignore: Bool
  /// Whether text that cannot be read as it was written is an error.
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

  /// The most threads that read documents.
  public static let maximumThreads = 1024

  /// Throws `badInput` for an encoding that there is not and for a number of threads that makes no sense.
  func extractor(threads: Int) throws -> TextExtractor {
    guard (1...Self.maximumThreads).contains(threads) else {
      throw ForgeError.badInput("the number of threads must be from 1 to \(Self.maximumThreads), not \(threads)")
    }
    guard let encoding else { return TextExtractor(textField: textField) }
    guard let known = TextEncoding(label: encoding), known.isAvailable else {
      throw ForgeError.badInput(
        "there is no encoding '\(encoding)' here: name one as web pages do, such as windows-1252, shift_jis or gbk")
    }
    return TextExtractor(encoding: known, textField: textField)
  }
}
