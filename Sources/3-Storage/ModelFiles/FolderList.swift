import Formats
import Foundation

/// The list of a model folder's files that belong to the model besides its weights, by relative path.
///
/// It keeps small text files, also in subfolders, and a tokenizer's files of any kind. It leaves out weights in other
/// formats, trainer state, adapters, other models in subfolders and binary files. Hidden files are ignored.
struct FolderList {
  private(set) var kept: [String] = []
  private(set) var leftOut: [String] = []

  private static let templateFolders = ["additional_chat_templates", "chat_templates"]
  private static let tokenizerNames: Set<String> = [
    "added_tokens.json", "merges.txt", "sentencepiece.bpe.model", "special_tokens_map.json", "spiece.model",
    "tekken.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.bpe", "vocab.json", "vocab.txt",
  ]
  /// Files about adapters, datasets and trainer state, not about the model.
  private static let others: Set<String> = ["adapter_config.json", "dataset.json", "trainer_state.json"]
  private static let maxTokenizerBytes = 1 << 28
  private static let maxTextBytes = 1 << 24

  init(folder: String) throws {
    var weights = (try? SafetensorsCollection(path: folder))?.fileNames ?? []
    weights.formUnion([SafetensorsCollection.singleFileName, SafetensorsCollection.indexFileName])
    list("", of: folder, weights: weights)
  }

  private mutating func list(_ path: String, of folder: String, weights: Set<String>) {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder + "/" + path)) ?? []
    for name in names.sorted() where !name.hasPrefix(".") && !weights.contains(name) {
      let inner = path.isEmpty ? name : "\(path)/\(name)"
      let full = "\(folder)/\(inner)"
      let isFolder = Self.attributes(full)?[.type] as? FileAttributeType == .typeDirectory
      if isFolder, !FileManager.default.fileExists(atPath: full + "/config.json") {
        list(inner, of: folder, weights: [])
      } else if !isFolder, Self.isKept(full) {
        kept.append(inner)
      } else {
        leftOut.append(isFolder ? inner + "/" : inner)
      }
    }
  }

  private static func isKept(_ path: String) -> Bool {
    let name = (path as NSString).lastPathComponent
    guard !others.contains(name), !name.hasSuffix(".index.json") else { return false }
    let place = attributes(path)?[.type] as? FileAttributeType == .typeSymbolicLink
    let target = place ? URL(filePath: path).resolvingSymlinksInPath().path(percentEncoded: false) : path
    guard let found = attributes(target), found[.type] as? FileAttributeType == .typeRegular,
      let size = (found[.size] as? NSNumber)?.intValue
    else { return false }
    if isTokenizer(name) { return size <= maxTokenizerBytes }
    return size <= maxTextBytes && isText(target)
  }

  /// Whether a file has no zero byte, which binary files have.
  private static func isText(_ path: String) -> Bool {
    guard let data = try? Data(contentsOf: URL(filePath: path)) else { return false }
    return !data.contains(0)
  }

  private static func attributes(_ path: String) -> [FileAttributeKey: Any]? {
    try? FileManager.default.attributesOfItem(atPath: path)
  }

  // MARK: Tokenizers

  /// The files of a tokenizer in a folder, chat templates included.
  static func tokenizerFiles(folder: String) -> [String] {
    func names(_ path: String) -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] }
    let templates = templateFolders.flatMap { inner in names("\(folder)/\(inner)").map { "\(inner)/\($0)" } }
    return (names(folder) + templates).filter { (isTokenizer($0) || isTemplate($0)) && isKept("\(folder)/\($0)") }
  }

  static func isTokenizer(_ path: String) -> Bool {
    tokenizerNames.contains(path) || path.hasPrefix("tokenizer.model.") || path.hasSuffix(".tiktoken")
  }

  /// Whether a file is a chat template, or several.
  static func isTemplate(_ path: String) -> Bool {
    path.hasPrefix("chat_template.")
      || path.hasSuffix(".jinja") && templateFolders.contains { path.hasPrefix($0 + "/") }
  }
}
