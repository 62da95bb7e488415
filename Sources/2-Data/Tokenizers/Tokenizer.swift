import Foundation
import Synchronization

/// A byte-level byte-pair-encoding tokenizer, read from or written to a Hugging Face `tokenizer.json`.
///
/// Any bytes can be encoded, valid UTF-8 or not, and decoding gives the same bytes back (unless the tokenizer
/// normalises text, as Qwen's do, or lacks some bytes). The ids are those of Hugging Face `tokenizers`, except that
/// untrusted text is never encoded to a control token.
public struct Tokenizer: Sendable {
  /// The pre-tokenization pattern.
  public let pattern: SplitPattern
  /// The id of the begin-of-sequence token, if the tokenizer has one and documents begin with it.
  public let beginOfSequence: Int32?
  /// The id of the end-of-sequence token, if the tokenizer has one.
  public let endOfSequence: Int32?

  let normalizer: Normalizer
  let vocabulary: Vocabulary
  let merges: MergeTable
  let addedTokens: AddedTokens
  /// Tokens skipped in decoding: special ones, and those around documents.
  let controlIDs: Set<Int32>
  /// The rules of encoding for untrusted text.
  let plainRules: TextRules
  /// The rules of encoding when special tokens in text are parsed.
  let parsingRules: TextRules
  /// Whether a word that is a token is encoded as that token without merging (`ignore_merges`).
  let ignoresMerges: Bool
  /// The files this tokenizer was made from, written back unchanged.
  let files: TokenizerFiles
  /// A word's ids depend on the rules, so each set of rules has its own scratch space with a cache.
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

  /// Loads a tokenizer.
  ///
  /// - Parameter path: a folder holding `tokenizer.json` and perhaps `tokenizer_config.json`, or the former itself.
  /// - Throws: `ForgeError.badInput` when the file is missing or malformed, is not byte-level byte-pair encoding with a
  ///   known pre-tokenization pattern, or names a token around documents that does not exist.
  public init(contentsOf path: String) throws {
    try self.init(files: TokenizerFiles(contentsOf: path), path: path)
  }

  /// Loads a tokenizer from the contents of `tokenizer.json` and `tokenizer_config.json`. Throws as
  /// `init(contentsOf:)`.
  package init(json: Data, configuration: Data? = nil) throws {
    try self.init(files: TokenizerFiles(tokenizer: json, configuration: configuration), path: "the tokenizer")
  }

  /// Writes the tokenizer's files, such as `tokenizer.json` and `tokenizer_config.json`, as `tokenizers` and
  /// `transformers` read them.
  ///
  /// - Throws: `ForgeError.badInput` when the folder cannot be written, `ForgeError.tryAgain` when the disk is full.
  public func write(toFolder path: String) throws {
    try files.write(toFolder: path)
  }

  /// Creates the folder for `write(toFolder:)`, so that a failure is reported before a long training.
  ///
  /// - Throws: `ForgeError.badInput` when it cannot be created.
  public static func createFolder(_ path: String) throws {
    try TokenizerFiles.createFolder(path)
  }

  /// Throws `ForgeError.badInput` when a folder has a tokenizer's files, which `write(toFolder:)` would replace.
  public static func expectNone(inFolder path: String) throws {
    try TokenizerFiles.expectNone(inFolder: path)
  }

  /// The bytes of `tokenizer.json`.
  public var json: Data { files.tokenizer }

  /// One more than the largest id: how many rows an embedding needs.
  public var vocabularySize: Int { vocabulary.count }

  /// The id of the special token written `content`, such as `[INST]`.
  public func specialToken(_ content: String) -> Int32? { addedTokens.specialID(of: content) }

  /// The texts of the special tokens, for messages.
  public var specialTokens: [String] {
    addedTokens.tokens.filter(\.isSpecial).map { String(decoding: $0.content, as: UTF8.self) }
  }

  /// Calls `body` with the scratch space of one set of rules, which no other thread uses meanwhile.
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
  /// Parses the files together.
  ///
  /// - Throws: `ForgeError.badInput` when they are not those of a supported tokenizer.
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

/// A pool of the scratch space of encoding calls.
private final class ScratchPool: Sendable {
  private let free = Mutex<[EncodingScratch]>([])

  func take() -> EncodingScratch {
    free.withLock { $0.popLast() } ?? EncodingScratch()
  }

  func give(_ scratch: EncodingScratch) {
    free.withLock { $0.append(scratch) }
  }
}
