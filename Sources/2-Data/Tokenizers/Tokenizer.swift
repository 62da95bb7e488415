import Foundation
import Synchronization

/// A byte-level byte-pair-encoding tokenizer, read from or written to a Hugging Face `tokenizer.json`.
///
/// Any bytes can be encoded, valid UTF-8 or not, and decoding gives the same bytes back (unless the tokenizer normalises
/// text, as Qwen's do, or lacks some bytes). The ids are those of Hugging Face `tokenizers`, except that text from outside
/// never becomes a control token.
public struct Tokenizer: Sendable {
  /// How text is cut into words.
  public let pattern: SplitPattern
  /// The id of the token that opens a document, if the tokenizer has one and its documents are to begin with it.
  public let beginOfSequence: Int32?
  /// The id of the token that closes a document, if the tokenizer has one.
  public let endOfSequence: Int32?

  let normalizer: Normalizer
  let vocabulary: Vocabulary
  let merges: MergeTable
  let addedTokens: AddedTokens
  /// Tokens left out of decoded text: special ones, and those around documents.
  let controlIDs: Set<Int32>
  /// How text from outside becomes ids.
  let plainRules: TextRules
  /// How text becomes ids when the tokens written in it count.
  let parsingRules: TextRules
  /// Whether a word that is a token is encoded as that token, whatever the merges would make of it.
  let ignoresMerges: Bool
  /// The files this tokenizer was made from, written back unchanged.
  let files: TokenizerFiles
  /// A word has other ids by other rules, so each set of rules has work space of its own.
  private let plainScratch = ScratchPool()
  private let parsingScratch = ScratchPool()

  init(files: TokenizerFiles, path: String) throws {
    let (parsed, around) = try files.parsed(path: path)
    pattern = parsed.pattern
    normalizer = parsed.normalizer
    vocabulary = parsed.vocabulary
    merges = parsed.merges
    addedTokens = parsed.addedTokens
    ignoresMerges = parsed.ignoresMerges
    plainRules = .plain(parsed, around)
    parsingRules = .parsing(parsed)
    controlIDs = plainRules.ignoredTokens
    beginOfSequence = around.addsBegin ? around.begin?.id : nil
    endOfSequence = around.end?.id
    self.files = files
  }

  /// Reads a tokenizer.
  ///
  /// - Parameter path: a folder holding `tokenizer.json` and perhaps `tokenizer_config.json`, or the former itself.
  /// - Throws: `ForgeError.badInput` when the file is missing or malformed, asks for something other than byte-level
  ///   byte-pair encoding with a known splitting pattern, or names a token around documents that does not exist.
  public init(contentsOf path: String) throws {
    try self.init(files: TokenizerFiles(contentsOf: path), path: path)
  }

  /// Reads a tokenizer from the contents of `tokenizer.json` and `tokenizer_config.json`. Throws as `init(contentsOf:)`.
  package init(json: Data, configuration: Data? = nil) throws {
    try self.init(files: TokenizerFiles(tokenizer: json, configuration: configuration), path: "the tokenizer")
  }

  /// Writes `tokenizer.json` and `tokenizer_config.json` as `tokenizers` and `transformers` read them.
  ///
  /// - Throws: `ForgeError.badInput` when the folder cannot be written, `ForgeError.tryAgain` when the disk is full.
  public func write(toFolder path: String) throws {
    try files.write(toFolder: path)
  }

  /// Makes the folder that `write(toFolder:)` needs, so that a long training does not end in vain.
  ///
  /// - Throws: `ForgeError.badInput` when it cannot be made.
  public static func createFolder(_ path: String) throws {
    try TokenizerFiles.createFolder(path)
  }

  /// Throws `ForgeError.badInput` when a folder has a tokenizer's files, which `write(toFolder:)` would replace.
  public static func expectNone(inFolder path: String) throws {
    try TokenizerFiles.expectNone(inFolder: path)
  }

  /// The bytes of `tokenizer.json`, by which two tokenizers can be told apart.
  public var json: Data { files.tokenizer }

  /// One more than the largest id: how many rows an embedding needs.
  public var vocabularySize: Int { vocabulary.count }

  /// The id of the special token written `content`, such as `[INST]`.
  public func specialToken(_ content: String) -> Int32? { addedTokens.specialID(of: content) }

  /// The special tokens' texts, for messages.
  public var specialTokens: [String] {
    addedTokens.tokens.filter(\.isSpecial).map { String(decoding: $0.content, as: UTF8.self) }
  }

  /// Calls `body` with work space that no other thread is using, for text encoded by one set of rules.
  func withScratch<Result>(
    parsing: Bool, _ body: (inout EncodingScratch) throws -> Result
  ) rethrows -> Result {
    let pool = parsing ? parsingScratch : plainScratch
    var scratch = pool.take()
    defer { pool.give(scratch) }
    return try body(&scratch)
  }
}

extension TokenizerFiles {
  /// What the files say together.
  ///
  /// - Throws: `ForgeError.badInput` when they are not those of a tokenizer that this library can compute.
  func parsed(path: String) throws -> (tokenizer: ParsedTokenizer, around: DocumentTokens) {
    var document = try TokenizerDocument(json: tokenizer, path: path)
    let names = try TokenNames(files: self, path: path)
    names.complete(&document)
    let parsed = try ParsedTokenizer(document, path: path)
    let around = try DocumentTokens(
      names, postProcessors: document.postProcessors, tokenizer: parsed, path: path)
    return (parsed, around)
  }
}

/// Work space of finished encoding calls, kept for the next ones.
private final class ScratchPool: Sendable {
  private let free = Mutex<[EncodingScratch]>([])

  func take() -> EncodingScratch {
    free.withLock { $0.popLast() } ?? EncodingScratch()
  }

  func give(_ scratch: EncodingScratch) {
    free.withLock { $0.append(scratch) }
  }
}
