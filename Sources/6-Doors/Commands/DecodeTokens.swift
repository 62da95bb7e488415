import Foundation
import Support
import Tokenizers

/// A request to decode token ids to text.
public struct DecodeTokens: Command {
  /// The path of a tokenizer: a folder with a `tokenizer.json`, or that file.
  public var tokenizer: String
  /// Files of JSON lines `{"ids":[…]}` or `[…]`; empty for standard input.
  public var inputs: [String]
  /// Whether to decode special tokens too, rather than skip them.
  public var specialTokens: Bool
  /// Whether to write a line feed after each text.
  public var lines: Bool

  public init(tokenizer: String, inputs: [String], specialTokens: Bool, lines: Bool) {
    (self.tokenizer, self.inputs, self.specialTokens, self.lines) = (tokenizer, inputs, specialTokens, lines)
  }

  public func run(_ sinks: CommandSinks) throws -> DecodedTokens {
    let tokenizer = try Tokenizer(contentsOf: tokenizer)
    var result = DecodedTokens(lines: lines)
    for text in inputs.isEmpty ? [try InputFile.standardInput()] : try inputs.map(InputFile.bytes) {
      for (index, line) in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
      where !line.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") }) {
        let ids = try parse(line, number: index + 1)
        if let id = ids.first(where: { $0 < 0 || $0 >= tokenizer.vocabularySize }) {
          throw ForgeError.badInput(
            "line \(index + 1) has the id \(id), and this tokenizer's ids end at \(tokenizer.vocabularySize - 1)",
            code: .tokenizerMismatch)
        }
        let bytes = tokenizer.decode(ids, skipSpecialTokens: !specialTokens)
        try sinks.stream(lines ? bytes + [UInt8(ascii: "\n")] : bytes)
        result.texts.append(bytes)
      }
    }
    return result
  }

  private func parse(_ line: ArraySlice<UInt8>, number: Int) throws -> [Int32] {
    struct Record: Decodable { var ids: [Int32] }
    let data = Data(line)
    if let ids = try? JSONDecoder().decode([Int32].self, from: data) { return ids }
    if let record = try? JSONDecoder().decode(Record.self, from: data) { return record.ids }
    throw ForgeError.badInput(
      "line \(number) is neither a list of ids nor an object with a list named 'ids'", code: .malformedFile)
  }
}

/// The decoded texts, one per line of ids.
public struct DecodedTokens: CommandResult {
  public static let isStreamed = true
  let lines: Bool
  /// The bytes of each text, which need not be valid UTF-8.
  public internal(set) var texts: [[UInt8]] = []

  init(lines: Bool) { self.lines = lines }

  /// The texts as a string: bytes that are not valid UTF-8 become U+FFFD; the stream sink receives them unchanged.
  public var text: String {
    String(decoding: texts.flatMap { lines ? $0 + [UInt8(ascii: "\n")] : $0 }, as: UTF8.self)
  }

  public var json: JSONLine { .object([("texts", .strings(texts.map { String(decoding: $0, as: UTF8.self) }))]) }
}
