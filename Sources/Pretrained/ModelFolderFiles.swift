import Configuration
import Diagnostics
import Foundation

/// What a model's folder holds beside the weights: its `config.json`, generation settings, chat templates, tokenizer,
/// licence and model card, byte for byte.
///
/// An export writes them again. A run that starts from a folder (`model.from`) keeps them in `RUN/pretrained`, where
/// the export of the run and of each of its checkpoints finds them.
public struct ModelFolderFiles: Sendable {
  /// By their paths within the folder, such as `chat_templates/tool.jinja`.
  private var contents: [String: Data] = [:]
  private let folder: String?

  /// The folder of a run's directory that keeps them.
  public static let runFolder = "pretrained"
  private static let configuration = "config.json"
  private static let generation = "generation_config.json"

  private static let templateFolders = ["additional_chat_templates", "chat_templates"]
  private static let tokenizerFiles: Set<String> = [
    "added_tokens.json", "merges.txt", "sentencepiece.bpe.model", "special_tokens_map.json", "spiece.model",
    "tekken.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt",
  ]
  private static let extensions: Set<String> = ["jinja", "json", "md", "model", "py", "tiktoken", "txt"]
  private static let beginnings = ["COPYING", "LICENSE", "LICENCE", "NOTICE", "USE_POLICY", "tokenizer.model."]
  /// What says something about other files than the model's: the weights' index, adapters, a dataset, a trainer's state.
  private static let left: Set<String> = ["adapter_config.json", "dataset.json", "trainer_state.json"]
  private static let mostBytes = 1 << 28

  /// None.
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
    // RUN/checkpoints/step-00000100; a checkpoint that lies elsewhere has no run.
    let place = URL(filePath: path).standardizedFileURL
    let run =
      place.lastPathComponent == "checkpoints"
      ? place.deletingLastPathComponent()
      : place.deletingLastPathComponent().lastPathComponent == "checkpoints"
        ? place.deletingLastPathComponent().deletingLastPathComponent() : place
    let kept = run.appending(path: Self.runFolder).path(percentEncoded: false)
    guard FileManager.default.fileExists(atPath: kept + "/" + Self.configuration) else {
      self.init()
      return
    }
    try self.init(folder: kept)
  }

  /// The files in one folder.
  public init(folder: String) throws {
    self.folder = folder
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    for name in names where Self.isKept(name) { try read(name) }
    for templates in Self.templateFolders {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: folder + "/" + templates)) ?? []
      for name in names where name.hasSuffix(".jinja") { try read(templates + "/" + name) }
    }
  }

  /// Only the files of a tokenizer, chat templates included.
  ///
  /// - Parameter path: a folder with one, or its `tokenizer.json`, whatever that is called.
  /// - Throws: `ForgeError.badInput` when there is none.
  public init(tokenizer path: String) throws {
    var isFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    try self.init(folder: isFolder.boolValue ? path : path.parentFolder)
    contents = contents.filter { Self.isTokenizer($0.key) }
    if exists, !isFolder.boolValue { contents["tokenizer.json"] = try Self.data(path) }
    guard hasTokenizer else {
      throw ForgeError.badInput("there is no tokenizer at '\(path)': name a folder with a tokenizer.json, or that file")
    }
  }

  private static func isKept(_ name: String) -> Bool {
    guard !name.hasPrefix("."), !left.contains(name), !name.hasSuffix(".index.json") else { return false }
    return extensions.contains((name as NSString).pathExtension) || beginnings.contains { name.hasPrefix($0) }
  }

  private static func isTokenizer(_ path: String) -> Bool {
    tokenizerFiles.contains(path) || path.hasPrefix("tokenizer.model.") || path.hasPrefix("chat_template")
      || path.hasSuffix(".tiktoken") || templateFolders.contains { path.hasPrefix($0 + "/") }
  }

  private mutating func read(_ path: String) throws {
    guard let folder else { return }
    let full = folder + "/" + path
    let attributes = try? FileManager.default.attributesOfItem(
      atPath: URL(filePath: full).resolvingSymlinksInPath().path(percentEncoded: false))
    guard attributes?[.type] as? FileAttributeType == .typeRegular,
      (attributes?[.size] as? NSNumber)?.intValue ?? 0 <= Self.mostBytes
    else { return }
    contents[path] = try Self.data(full)
  }

  private static func data(_ path: String) throws -> Data {
    do { return try Data(contentsOf: URL(filePath: path)) } catch {
      throw ForgeError.badInput("cannot read '\(path)': \(systemReason(of: error))")
    }
  }

  public var hasTokenizer: Bool { contents["tokenizer.json"] != nil || contents["tokenizer.model"] != nil }

  /// Puts another tokenizer in the place of the one that is here; chat templates that it lacks stay.
  ///
  /// - Parameter wasNamed: whether the user named it. One that was only found, and has the same `tokenizer.json`, is the
  ///   same tokenizer: it adds what is missing here.
  public mutating func replaceTokenizer(with tokenizer: ModelFolderFiles, wasNamed: Bool) {
    let own = contents["tokenizer.json"]
    if !wasNamed, own != nil, own == tokenizer.contents["tokenizer.json"] {
      contents.merge(tokenizer.contents) { own, _ in own }
      return
    }
    contents = contents.filter { path, _ in
      !Self.isTokenizer(path) || path.hasPrefix("chat_template") || path.hasSuffix(".jinja")
    }
    contents.merge(tokenizer.contents) { _, other in other }
  }

  /// The folder's `config.json`; nil where there is none.
  public var configuration: ConfigurationNode? {
    get throws {
      try contents[Self.configuration].map {
        try ConfigurationNode.parse(json: $0, source: "\(folder ?? "")/\(Self.configuration)")
      }
    }
  }

  /// The tokens after which `generation_config.json` ends a generation.
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

  /// Writes the files into a folder, which exists; the folder's `config.json` only on request.
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
        throw ForgeError.tryAgain("cannot write '\(url.path(percentEncoded: false))': \(systemReason(of: error))")
      }
    }
  }

  /// Keeps the files in a run's directory, all at once; nothing is there where there are none.
  ///
  /// - Throws: `ForgeError` when they cannot be written.
  public func keep(inRun directory: String) throws {
    let place = directory + "/" + Self.runFolder
    if FileManager.default.fileExists(atPath: place + "/" + Self.configuration) {
      try? FileManager.default.removeItem(atPath: place)
    }
    guard contents[Self.configuration] != nil else { return }
    let folder = try TemporaryFolder(beside: place)
    try write(to: folder.path, withConfiguration: true)
    try folder.move(to: place)
  }
}
