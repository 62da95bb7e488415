import Diagnostics
import Foundation

/// Which special tokens open and close a document.
struct SpecialTokenNames {
  let beginOfSequence: String?
  let endOfSequence: String?

  /// The names in `tokenizer_config.json`, else in `special_tokens_map.json`, else the usual `<s>` and `</s>`.
  init(files: TokenizerFiles, path: String) throws {
    guard let file = files.configuration ?? files.specialTokensMap else {
      (beginOfSequence, endOfSequence) = ("<s>", "</s>")
      return
    }
    let configuration = try Self.decode(file, path: path)
    let map = try files.specialTokensMap.map { try Self.decode($0, path: path) }
    beginOfSequence = configuration.bosToken?.content ?? map?.bosToken?.content
    endOfSequence = configuration.eosToken?.content ?? map?.eosToken?.content
  }

  private static func decode(_ json: Data, path: String) throws -> Configuration {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do {
      return try decoder.decode(Configuration.self, from: json)
    } catch {
      throw ForgeError.badInput(
        "the tokenizer_config.json or special_tokens_map.json beside \(path) is malformed: "
          + "bos_token and eos_token must be names or objects with a 'content'")
    }
  }

  private struct Configuration: Decodable {
    var bosToken: Name?
    var eosToken: Name?
  }

  /// Written as the token itself or as an object describing it.
  private struct Name: Decodable {
    var content: String
    private enum CodingKeys: CodingKey { case content }

    init(from decoder: any Decoder) throws {
      if let text = try? decoder.singleValueContainer().decode(String.self) {
        content = text
      } else {
        content = try decoder.container(keyedBy: CodingKeys.self).decode(String.self, forKey: .content)
      }
    }
  }
}
