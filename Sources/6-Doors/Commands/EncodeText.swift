import Foundation
import Support
import Tokenizers

/// A request to encode text to token ids.
public struct EncodeText: Command {
  /// The path of a tokenizer: a folder with a `tokenizer.json`, or that file.
  public var tokenizer: String
  /// Files to encode; `-` is standard input.
  public var inputs: [String]
  /// Whether to encode each line as a sequence.
  public var lines: Bool
  /// Whether to prepend the beginning-of-sequence token, if the tokenizer has one.
  public var beginOfSequence: Bool
  /// Whether to parse special tokens in the text; otherwise they are ordinary text.
  public var specialTokens: Bool
  public var threads: Int

  public init(
    tokenizer: String, inputs: [String], lines: Bool, beginOfSequence: Bool, specialTokens: Bool, threads: Int
  ) {
    (self.tokenizer, self.inputs, self.lines) = (tokenizer, inputs, lines)
    (self.beginOfSequence, self.specialTokens, self.threads) = (beginOfSequence, specialTokens, threads)
  }

  public func run(_ sinks: CommandSinks) throws -> EncodedText {
    let tokenizer = try Tokenizer(contentsOf: tokenizer)
    var texts: [(bytes: [UInt8], file: String, line: Int?)] = []
    for file in inputs {
      let bytes = try InputFile.bytes(file)
      if lines {
        texts += splitLines(bytes).enumerated().map { ($1, file, $0 + 1) }
      } else {
        texts.append((bytes, file, nil))
      }
    }
    let encoded = try tokenizer.encode(
      documents: texts.map(\.bytes), parseSpecialTokens: specialTokens, threads: threads
    ) { document, line in
      let text = texts[document]
      return "line \(text.line ?? line) of \(InputFile.name(of: text.file))"
    }
    let prefix = beginOfSequence ? [tokenizer.beginOfSequence].compactMap { $0 } : []
    let sequences = zip(texts, encoded).map { text, ids in
      EncodedText.Sequence(file: text.file, line: text.line, ids: prefix + ids)
    }
    for sequence in sequences { try sinks.stream(sequence.text) }
    return EncodedText(sequences: sequences)
  }

  /// The lines of a text without line endings (`\n` or `\r\n`).
  private func splitLines(_ text: [UInt8]) -> [[UInt8]] {
    var lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    return lines.map { $0.last == UInt8(ascii: "\r") ? Array($0.dropLast()) : Array($0) }
  }
}

/// The token ids of the encoded texts.
public struct EncodedText: CommandResult {
  /// The token ids of one input file or line.
  public struct Sequence: Sendable {
    public var file: String
    /// The line number, from 1, if each line is a sequence; nil otherwise.
    public var line: Int?
    public var ids: [Int32]

    var text: String { "{\"ids\":[\(ids.map(String.init).joined(separator: ","))]}\n" }
  }

  public static let isStreamed = true
  public let sequences: [Sequence]

  public var text: String { sequences.map(\.text).joined() }

  public var json: JSONLine {
    let sequences = sequences.map {
      JSONLine.object([("file", .path($0.file)), ("line", .optional($0.line)), ("ids", .integers($0.ids))])
    }
    return .object([("sequences", .list(sequences))])
  }
}
