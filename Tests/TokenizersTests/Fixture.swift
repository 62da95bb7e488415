import Foundation
@testable import Tokenizers

/// Results of Hugging Face `tokenizers` for some texts (see scripts/fixtures/tokenizer.py).
enum Fixture {
  struct Case: Decodable {
    var text: String
    /// Words by the name of the splitting pattern.
    var words: [String: [String]]
    /// Ids by the name of the tokenizer's file, special tokens in the text being ordinary text.
    var ids: [String: [Int32]]
    var idsWithSpecialTokens: [String: [Int32]]
  }

  static let tokenizers = ["llama-bpe.json", "qwen2.json", "gpt2.json", "llama-shape.json", "qwen-shape.json"]

  static func path(_ name: String) -> String {
    URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/\(name)").path
  }

  static func data(_ name: String) throws -> Data { try Data(contentsOf: URL(filePath: path(name))) }

  static func cases() throws -> [Case] { try JSONDecoder().decode([Case].self, from: data("cases.json")) }

  static func corpus() throws -> [UInt8] { [UInt8](try data("corpus.txt")) }

  static func tokenizer(_ name: String) throws -> Tokenizer { try Tokenizer(contentsOf: path(name)) }

  /// Calls `body` with a new folder and removes it afterwards.
  static func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder.path)
  }

  /// Bytes that are hardly ever valid UTF-8, the same for the same seed.
  static func noise(count: Int, seed: UInt64) -> [UInt8] {
    var state = seed
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 56)
    }
  }
}
