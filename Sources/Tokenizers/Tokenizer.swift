import Foundation
import Synchronization

/// A byte-level byte-pair-encoding tokenizer, read from or written to a Hugging Face `tokenizer.json`.
///
/// Any bytes can be encoded, valid UTF-8 or not, and decoding gives the same bytes back (unless the tokenizer asks for
/// Unicode normalisation, as Qwen's do). The ids are those of Hugging Face `tokenizers`.
public struct Tokenizer: Sendable {
  /// How text is cut into words.
  public let pattern: SplitPattern
  /// The id of the token that opens a document, if the tokenizer has one.
  public let beginOfSequence: Int32?
  /// The id of the token that closes a document, if the tokenizer has one.
  public let endOfSequence: Int32?

  let vocabulary: Vocabulary
  let merges: MergeTable
  /// The id of each of the 256 single bytes.
  let byteIDs: [Int32]
  let addedTokens: AddedTokens
  /// Whether a word that is a token is encoded as that token, whatever the merges would make of it.
  let ignoresMerges: Bool
  /// Whether text is brought to Unicode normal form C first.
  let normalizes: Bool
  /// The files this tokenizer was made from, written back unchanged.
  let files: TokenizerFiles
  private let scratchPool = ScratchPool()

  init(files: TokenizerFiles, path: String) throws {
    let parsed = try ParsedTokenizer(TokenizerDocument(json: files.tokenizer, path: path), path: path)
    let names = try SpecialTokenNames(files: files, path: path)
    pattern = parsed.pattern
    vocabulary = parsed.vocabulary
    merges = parsed.merges
    byteIDs = parsed.byteIDs
    addedTokens = parsed.addedTokens
    ignoresMerges = parsed.ignoresMerges
    normalizes = parsed.normalizes
    beginOfSequence = names.beginOfSequence.flatMap(parsed.addedTokens.specialID)
    endOfSequence = names.endOfSequence.flatMap(parsed.addedTokens.specialID)
    self.files = files
  }

  /// Reads a tokenizer.
  ///
  /// - Parameter path: a folder holding `tokenizer.json` and perhaps `tokenizer_config.json`, or the former itself.
  /// - Throws: `ForgeError.badInput` when the file is missing or malformed, or asks for something other than
  ///   byte-level byte-pair encoding with a known splitting pattern.
  public init(contentsOf path: String) throws {
    try self.init(files: TokenizerFiles(contentsOf: path), path: path)
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

  /// Calls `body` with work space that no other thread is using.
  func withScratch<Result>(_ body: (inout EncodingScratch) throws -> Result) rethrows -> Result {
    var scratch = scratchPool.take()
    defer { scratchPool.give(scratch) }
    return try body(&scratch)
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
