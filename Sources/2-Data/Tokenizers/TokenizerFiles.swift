import Formats
import Foundation
import Support

/// The files of a tokenizer, byte for byte, so that reading and writing a tokenizer changes none of them.
struct TokenizerFiles: Sendable {
  /// `tokenizer.json`
  var tokenizer: Data
  /// `tokenizer_config.json`: the names of the special tokens and the chat template.
  var configuration: Data?
  /// `special_tokens_map.json`: the names of the special tokens, in older folders.
  var specialTokensMap: Data?
  /// `added_tokens.json`: ids of tokens that may be in no other file, in older folders.
  var addedTokens: Data?
  /// `chat_template.jinja`, which takes precedence over the template in `tokenizer_config.json`.
  var chatTemplate: Data?

  private static let tokenizerName = "tokenizer.json"
  private static let configurationName = "tokenizer_config.json"
  private static let specialTokensMapName = "special_tokens_map.json"
  private static let addedTokensName = "added_tokens.json"
  private static let chatTemplateName = "chat_template.jinja"

  init(tokenizer: Data, configuration: Data?) {
    self.tokenizer = tokenizer
    self.configuration = configuration
  }

  /// From a folder's files by their names, without the chat template; nil without a `tokenizer.json`.
  init?(contents: [String: Data]) {
    guard let tokenizer = contents[Self.tokenizerName] else { return nil }
    self.init(tokenizer: tokenizer, configuration: contents[Self.configurationName])
    specialTokensMap = contents[Self.specialTokensMapName]
    addedTokens = contents[Self.addedTokensName]
  }

  /// Reads the files in the folder `path`, or the file `path` and those beside it.
  init(contentsOf path: String) throws {
    var url = URL(filePath: path)
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw ForgeError.badInput(
        "there is no tokenizer at \(path)", hint: "name a folder with a tokenizer.json, or that file", after: ": ",
        code: .fileNotFound)
    }
    if isFolder.boolValue { url.append(path: Self.tokenizerName) }
    do {
      tokenizer = try Data(contentsOf: url)
    } catch {
      throw ForgeError.badInput(
        "cannot read the tokenizer \(url.path(percentEncoded: false)): \(error.reason)",
        code: .system(error, else: .fileUnreadable))
    }
    let folder = url.deletingLastPathComponent()
    configuration = try Self.neighbour(Self.configurationName, in: folder)
    specialTokensMap = try Self.neighbour(Self.specialTokensMapName, in: folder)
    addedTokens = try Self.neighbour(Self.addedTokensName, in: folder)
    chatTemplate = try Self.neighbour(Self.chatTemplateName, in: folder)
  }

  /// Reads an optional file; nil when there is none. Throws `badInput` when it cannot be read.
  private static func neighbour(_ name: String, in folder: URL) throws -> Data? {
    let url = folder.appending(path: name)
    let path = url.path(percentEncoded: false)
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    do {
      return try Data(contentsOf: url)
    } catch {
      throw ForgeError.badInput(
        "cannot read \(path), which belongs to the tokenizer: \(error.reason)",
        code: .system(error, else: .fileUnreadable))
    }
  }

  /// Throws `badInput` when a folder has a tokenizer's files.
  static func expectNone(inFolder path: String) throws {
    for name in [tokenizerName, configurationName, specialTokensMapName, addedTokensName, chatTemplateName] {
      var status = stat()
      guard stat(PathBytes.cString(of: path + "/" + name), &status) != 0 else {
        throw ForgeError.badInput(
          "'\(PathBytes.display(path))' has a \(name) already",
          hint: "choose another folder, or say --overwrite to replace it", code: .fileExists)
      }
    }
  }

  static func createFolder(_ path: String) throws {
    guard PathBytes.makeFolder(path) else {
      throw ForgeError.badInput(
        "cannot make the folder \(PathBytes.display(path)) for the tokenizer: \(String(cString: strerror(errno)))",
        code: .system(errno, else: .writeFailed))
    }
  }

  func write(toFolder path: String) throws {
    let contents = [
      (Self.tokenizerName, tokenizer), (Self.configurationName, configuration),
      (Self.specialTokensMapName, specialTokensMap), (Self.addedTokensName, addedTokens),
      (Self.chatTemplateName, chatTemplate),
    ]
    try Self.createFolder(path)
    for (name, data) in contents {
      let place = path + "/" + name
      // Removes a file that another tokenizer has left here.
      guard let data else {
        unlink(PathBytes.cString(of: place))
        continue
      }
      let file = try OutputFile(path: place)
      try file.append(data)
      try file.commit()
    }
  }
}

extension Error {
  /// The system's message for a failure, without Foundation's layers around it.
  fileprivate var reason: String {
    let underlying = (self as? CocoaError)?.underlying ?? self
    return (underlying as? POSIXError).map { String(cString: strerror($0.code.rawValue)) } ?? "\(underlying)"
  }
}
