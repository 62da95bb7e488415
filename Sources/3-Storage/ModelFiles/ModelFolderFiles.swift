import Checkpoints
import ConfigurationFiles
import Foundation
import Support
import Tokenizers

/// The files of a model's folder besides the weights: its `config.json`, generation settings, chat templates,
/// tokenizer, licence, model card and other small text files, byte for byte.
///
/// An export writes them again. A run that starts from a folder (`model.from`) copies them to `RUN/pretrained`, for
/// exports of the run and of its checkpoints.
public struct ModelFolderFiles: Sendable {
  /// Contents by relative path, such as `chat_templates/tool.jinja`.
  private var contents: [String: Data] = [:]
  private let folder: String?
  /// Files of the folder that are not kept, except weights.
  private var leftOut: [String] = []
  /// Whether the model is of a run whose data was prepared by this program.
  private var isTrained = false
  /// How the run's data began documents, if another tokenizer than the one here determines it.
  private var beginning: DocumentBeginning?

  private static let configuration = "config.json"
  private static let generation = "generation_config.json"
  private static let tokenizer = "tokenizer.json"

  /// No files.
  public init() { folder = nil }

  /// The files that belong to a model.
  ///
  /// - Parameter path: a Hugging Face folder, a run directory, its `checkpoints` folder or one checkpoint.
  /// - Throws: `ForgeError` when one cannot be read.
  public init(model path: String) throws {
    if FileManager.default.fileExists(atPath: path + "/" + Self.configuration) {
      try self.init(folder: path)
      return
    }
    // A checkpoint outside a run directory has none.
    let kept = RunDirectory(containing: path).pretrained
    if FileManager.default.fileExists(atPath: kept + "/" + Self.configuration) {
      try self.init(folder: kept)
    } else {
      self.init()
    }
    isTrained = Self.isTrained(path)
  }

  /// Whether the data of a run was prepared by this program; true for versions that did not record it.
  private static func isTrained(_ path: String) -> Bool {
    guard let sources = (try? CheckpointReader(path: path))?.metadata["sources"] else { return true }
    return sources["train"]?.array?.contains { $0["tokenizer"]?.string != nil } ?? false
  }

  /// The files in one folder.
  public init(folder: String) throws {
    self.folder = folder
    let list = try FolderList(folder: folder)
    leftOut = list.leftOut
    for path in list.kept { contents[path] = try Self.data("\(folder)/\(path)") }
  }

  /// Only the files of a tokenizer, chat templates included.
  ///
  /// - Parameter path: a folder with one, or a `tokenizer.json` under any name.
  /// - Throws: `ForgeError.badInput` when there is none.
  public init(tokenizer path: String) throws {
    var isFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    let folder = isFolder.boolValue ? path : path.parentFolder
    self.folder = folder
    for name in FolderList.tokenizerFiles(folder: folder) { contents[name] = try Self.data("\(folder)/\(name)") }
    if exists, !isFolder.boolValue { contents[Self.tokenizer] = try Self.data(path) }
    guard hasTokenizer else {
      throw ForgeError.badInput(
        "there is no tokenizer at '\(path)'", hint: "name a folder with a tokenizer.json, or that file", after: ": ",
        code: .fileNotFound)
    }
  }

  private static func data(_ path: String) throws -> Data {
    do { return try Data(contentsOf: URL(filePath: path)) } catch {
      throw ForgeError.badInput(
        "cannot read '\(path)': \(systemReason(of: error))", code: .system(error, else: .fileUnreadable))
    }
  }

  // MARK: The tokenizer

  public var hasTokenizer: Bool { contents[Self.tokenizer] != nil || contents["tokenizer.model"] != nil }

  private var hasChatTemplate: Bool {
    contents.keys.contains(where: FolderList.isTemplate)
      || contents["tokenizer_config.json"].map(DocumentBeginning.hasChatTemplate) ?? false
  }

  /// The files that name a tokenizer's special tokens, which are replaced together.
  private static let names: Set<String> = ["added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"]

  /// Replaces the tokenizer; chat templates are kept if the new one has none.
  ///
  /// - Parameter wasNamed: whether the user chose it. One that was only found, and has the same fingerprint, is the
  ///   same tokenizer: it only adds missing files.
  public mutating func replaceTokenizer(with tokenizer: ModelFolderFiles, wasNamed: Bool) {
    if isTrained { beginning = DocumentBeginning(files: tokenizer.contents) }
    let fingerprint = contents[Self.tokenizer].map(TokenizerFingerprint.hash(json:))
    let isSame =
      fingerprint != nil && fingerprint == tokenizer.contents[Self.tokenizer].map(TokenizerFingerprint.hash(json:))
    if isSame, !wasNamed {
      let (hasTemplate, hasNames) = (hasChatTemplate, contents.keys.contains(where: Self.names.contains))
      let missing = tokenizer.contents.filter { path, _ in
        !(hasTemplate && FolderList.isTemplate(path)) && !(hasNames && Self.names.contains(path))
      }
      contents.merge(missing) { own, _ in own }
      return
    }
    let bringsTemplate = tokenizer.hasChatTemplate
    contents = contents.filter { path, _ in
      if FolderList.isTemplate(path) { return !bringsTemplate }
      return !FolderList.isTokenizer(path) || isSame && !Self.names.contains(path)
    }
    contents.merge(tokenizer.contents) { _, other in other }
  }

  /// Edits the tokenizer's files so that other programs begin texts and chats as documents began in training, for a
  /// run's model.
  ///
  /// - Returns: a sentence about the change; nil if there was none.
  mutating func beginAsTrained() -> String? {
    guard isTrained, let beginning = beginning ?? DocumentBeginning(files: contents) else { return nil }
    var files = contents.filter { FolderList.isTokenizer($0.key) || FolderList.isTemplate($0.key) }
    let note = beginning.impose(on: &files)
    contents.merge(files) { _, changed in changed }
    return note
  }

  // MARK: Reading and writing

  /// A sentence about files of the folder that are not kept; nil if there are none but the weights.
  public var leftOutNote: String? {
    guard let folder, !leftOut.isEmpty else { return nil }
    let more = leftOut.count > 8 ? " and \(leftOut.count - 8) more" : ""
    return "not copied from '\(folder)': \(leftOut.prefix(8).joined(separator: ", "))\(more)"
  }

  /// The language model's configuration in the folder's `config.json`; nil where there is none.
  public var configuration: ConfigurationNode? {
    get throws {
      try contents[Self.configuration].map {
        try FolderConfiguration(
          ConfigurationNode.parse(json: $0, source: "\(folder ?? "")/\(Self.configuration)")
        ).node
      }
    }
  }

  /// The end-of-sequence tokens of `generation_config.json`.
  ///
  /// - Throws: `ForgeError.badInput`, located, when the file is malformed.
  public var generationEnds: [Int] {
    get throws {
      guard let data = contents[Self.generation] else { return [] }
      let node = try ConfigurationNode.parse(json: data, source: "\(folder ?? "")/\(Self.generation)")
      let section = try ConfigurationSection(node)
      if case .sequence = section.node("eos_token_id")?.value { return try section.integers("eos_token_id") ?? [] }
      return try [section.integer("eos_token_id")].compactMap(\.self)
    }
  }

  /// Writes the files into an existing folder; `config.json` only if `withConfiguration`.
  ///
  /// - Throws: `ForgeError.tryAgain` when the disk fails.
  func write(to folder: String, withConfiguration: Bool) throws {
    for (path, data) in contents where withConfiguration || path != Self.configuration {
      let url = URL(filePath: folder).appending(path: path)
      do {
        try FileManager.default.createDirectory(
          at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try data.write(to: url)
      } catch {
        throw ForgeError.tryAgain(
          "cannot write '\(url.path(percentEncoded: false))': \(systemReason(of: error))",
          code: .system(error, else: .writeFailed))
      }
    }
  }

  /// Writes the files to a run's directory, atomically; without a `config.json`, none are written.
  ///
  /// - Throws: `ForgeError` when they cannot be written.
  public func keep(inRun directory: String) throws {
    let place = RunDirectory(path: directory).pretrained
    if FileManager.default.fileExists(atPath: place + "/" + Self.configuration) {
      try? FileManager.default.removeItem(atPath: place)
    }
    guard contents[Self.configuration] != nil else { return }
    let folder = try TemporaryFolder(beside: place)
    try write(to: folder.path, withConfiguration: true)
    try folder.move(to: place)
  }
}
