import Foundation
import Support

/// The identity of a prepared dataset, from the folder's `dataset.json`. Values that older versions did not write are
/// nil.
public struct DatasetDescription: Decodable, Sendable {
  public struct Split: Decodable, Sendable {
    /// The root of the part's ``DatasetDigest``.
    public var sha256: String?
    public var documents: Int?
    public var tokens: Int?
  }

  public struct Tokenizer: Decodable, Sendable {
    /// The folder or file that the user named.
    public var path: String?
    /// SHA-256 of the bytes of `tokenizer.json`.
    public var sha256: String?
    /// A `TokenizerFingerprint`; a dataset with one also has a copy of the tokenizer's files.
    public var fingerprint: String?
    public var vocabularySize: Int?
    /// The id before every document; nil when there is none. `endOfSequence` is the id after it.
    public var beginOfSequence: Int32?
    public var endOfSequence: Int32?

    enum CodingKeys: String, CodingKey {
      case path, sha256, fingerprint
      case vocabularySize = "vocabulary_size"
      case beginOfSequence = "begin_of_sequence"
      case endOfSequence = "end_of_sequence"
    }
  }

  /// SHA-256 of `documents.jsonl`.
  public var documentsSHA256: String?
  public var train: Split?
  public var validation: Split?
  public var tokenizer: Tokenizer?

  enum CodingKeys: String, CodingKey {
    case train, validation, tokenizer
    case documentsSHA256 = "documents_sha256"
  }

  public static let fileName = "dataset.json"

  /// - Parameter folder: made by `forge data prepare`.
  /// - Returns: nil when the folder has no description.
  /// - Throws: `ForgeError.badInput` when it is damaged.
  public init?(folder: String) throws {
    let path = "\(folder)/\(Self.fileName)"
    guard let contents = try? Data(contentsOf: URL(fileURLWithPath: path)) else { return nil }
    guard let description = try? JSONDecoder().decode(Self.self, from: contents) else {
      throw ForgeError.badInput(
        "'\(path)' is damaged: it does not describe a dataset", hint: "prepare the dataset again", code: .fileDamaged)
    }
    self = description
  }

  public subscript(split: DatasetSplit) -> Split? { split == .train ? train : validation }
}

extension DataSource {
  /// The folder with the files of the tokenizer that encoded a prepared dataset: its own copy, or for datasets of older
  /// versions the folder recorded, as long as its `tokenizer.json` has the recorded hash. nil when there is none.
  public func tokenizerFolder(_ description: DatasetDescription?) -> String? {
    let copy = path + "/tokenizer"
    if access(copy + "/tokenizer.json", F_OK) == 0 { return copy }
    guard let named = description?.tokenizer?.path, let hash = description?.tokenizer?.sha256 else { return nil }
    let folder = named.hasSuffix(".json") ? named.parentFolder : named
    let file = folder + "/tokenizer.json"
    guard let contents = try? Data(contentsOf: URL(fileURLWithPath: file)),
      contents.withUnsafeBytes({ SHA256.hash($0).hexadecimal }) == hash
    else { return nil }
    return folder
  }

  /// The path, without `.bin` and `.idx`, of a part of a prepared folder, or of a whole pair.
  ///
  /// - Throws: `ForgeError.badInput` when there is no dataset.
  public func prefix(of split: DatasetSplit) throws -> String {
    if isPreparedFolder { return path + "/" + split.rawValue }
    guard access(path + ".idx", F_OK) == 0 || access(path + ".bin", F_OK) == 0 else {
      throw ForgeError.badInput(
        "there is no dataset at '\(path)': it is neither a folder made by 'forge data prepare' nor the prefix of a "
          + ".bin/.idx pair", code: .fileNotFound)
    }
    return path
  }

  /// Reads `dataset.json`; nil for a `.bin/.idx` pair.
  ///
  /// - Throws: `ForgeError.badInput` when it is damaged.
  public func description() throws -> DatasetDescription? {
    isPreparedFolder ? try DatasetDescription(folder: path) : nil
  }
}
