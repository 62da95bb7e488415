import DocumentText

/// The contents of `dataset.json`: a prepared dataset's provenance and counts.
public struct PreparedDataset: Codable, Sendable {
  /// The tokenizer that encoded the dataset.
  public struct Tokenizer: Codable, Sendable {
    public var path: String
    /// Of `tokenizer.json`, in hexadecimal.
    public var sha256: String
    /// A `TokenizerFingerprint`; the tokenizer's files are in the folder's `tokenizer`.
    public var fingerprint: String?
    public var vocabularySize: Int
    /// The id before every document, when the tokenizer has one.
    public var beginOfSequence: Int32?
    /// The id after every document, when the tokenizer has one.
    public var endOfSequence: Int32?

    enum CodingKeys: String, CodingKey {
      case path, sha256, fingerprint
      case vocabularySize = "vocabulary_size"
      case beginOfSequence = "begin_of_sequence"
      case endOfSequence = "end_of_sequence"
    }
  }

  /// The counts of a part.
  public struct Split: Codable, Sendable, Equatable {
    public var documents = 0
    public var tokens = 0
    /// Bytes of text before tokenization.
    public var bytes = 0
    /// The root of the part's `DatasetDigest`; nil until it is complete.
    public var sha256: String?
  }

  public static let fileName = "dataset.json"
  /// The folder, within the dataset's, with a copy of the tokenizer's files.
  public static let tokenizerFolder = "tokenizer"

  public var version = 1
  public var inputs: [String]
  public var tokenizer: Tokenizer
  /// The requested share of held-out documents.
  public var heldOut: Double
  /// SHA-256 of `documents.jsonl`; nil until it is complete.
  public var documentsSHA256: String?
  public var train = Split()
  public var validation = Split()
  /// Documents whose text an earlier document has.
  public var duplicates = 0
  /// Skipped files, or lines of files, by the reason; `skipped.jsonl` lists them.
  public var skipped: [SkipReason: Int] = [:]
  /// Invalid sequences in documents that became U+FFFD; nil in datasets of earlier versions.
  public var replacements: Int?

  enum CodingKeys: String, CodingKey {
    case version, inputs, tokenizer, train, validation, duplicates, skipped, replacements
    case heldOut = "held_out"
    case documentsSHA256 = "documents_sha256"
  }
}

/// A line of `documents.jsonl`: a document of the dataset, in the order of reading.
public struct DocumentRecord: Codable, Sendable, Equatable {
  public static let fileName = "documents.jsonl"

  /// SHA-256 of the document's text, in hexadecimal.
  public var id: String
  /// With U+FFFD for what is not UTF-8.
  public var path: String
  /// All bytes of the path, when it is not UTF-8.
  public var pathBytes: String?
  /// The line of a JSON Lines file, from 1.
  public var line: Int?
  /// `train` or `validation`.
  public var split: String
  /// The first of the document's tokens and the one after its last, counted in its part's token stream.
  public var tokens: [Int]
  /// Of text.
  public var bytes: Int
  /// How many invalid sequences became U+FFFD; nil when none did.
  public var replacements: Int?

  enum CodingKeys: String, CodingKey {
    case id, path, line, split, tokens, bytes, replacements
    case pathBytes = "path_base64"
  }
}

/// A line of `skipped.jsonl`: a skipped file, or a skipped line of one, in the order of reading.
public struct SkippedRecord: Codable, Sendable, Equatable {
  public static let fileName = "skipped.jsonl"

  /// With U+FFFD for what is not UTF-8.
  public var path: String
  /// All bytes of the path, when it is not UTF-8.
  public var pathBytes: String?
  /// The line of a JSON Lines file, from 1.
  public var line: Int?
  public var reason: SkipReason

  enum CodingKeys: String, CodingKey {
    case path, line, reason
    case pathBytes = "path_base64"
  }
}
