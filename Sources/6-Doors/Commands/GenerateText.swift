import Foundation
import Inference
import Kernels
import Models
import Support
import Tokenizers

/// A request to generate a continuation of a prompt with a model.
public struct GenerateText: Command {
  /// The source of the prompt.
  public enum Source: Sendable {
    case text(String)
    /// A file, or standard input for `-`; one line break at the end is removed.
    case file(String)
  }

  /// A Hugging Face folder, a run directory or a checkpoint.
  public var model: String
  public var prompt: Source
  /// The max number of new tokens; nil for 200, or fewer if the model has fewer positions left.
  public var maximumTokens: Int?
  public var sampler: Sampler
  /// Whether to wrap the prompt as an instruction in Mistral's chat format.
  public var chat = false
  /// The tokenizer's folder; nil to use the one found with the model.
  public var tokenizer: String?
  public var threads: Int

  public init(
    model: String, prompt: Source, maximumTokens: Int?, sampler: Sampler, chat: Bool, tokenizer: String?, threads: Int
  ) {
    (self.model, self.prompt, self.maximumTokens, self.sampler) = (model, prompt, maximumTokens, sampler)
    (self.chat, self.tokenizer, self.threads) = (chat, tokenizer, threads)
  }

  /// The max of `--max-tokens` and `--top-k`: above any model's positions and vocabulary size.
  public static let maxTokens = 1 << 24
  private static let usualTokens = 200

  public func run(_ sinks: CommandSinks) throws -> GeneratedText {
    let loaded = try LoadedModel(path: model, threads: threads, sinks)
    let tokenizer = try Tokenizer(contentsOf: TokenizerLocation(model: model, named: tokenizer).path)
    let configuration = loaded.configuration
    let prompt =
      switch prompt {
      case .text(let text): PathBytes.bytes(of: text)
      case .file(let path): try Prompt.read(path)
      }
    let tokens = try chat ? Prompt.instruction(prompt, tokenizer) : Prompt.plain(prompt, tokenizer)
    let maximumTokens = try length(after: tokens, configuration)
    let decoder = IncrementalDecoder(
      configuration, parameters: loaded.parameters, capacity: tokens.count + maximumTokens,
      backend: Backend(threads: threads))
    let generator = Generator(decoder, sampler: sampler, ends: try loaded.ends(tokenizer))
    var result = GeneratedText(prompt: prompt, isChat: chat)
    var text = UTF8Stream()
    func emit(_ part: String) throws {
      result.continuation += part
      try sinks.stream(part)
    }
    if !chat { try sinks.stream(prompt) }
    let reason = try generator.generate(prompt: tokens, maximumTokens: maximumTokens) { token in
      result.tokens.append(token)
      try emit(text.append(tokenizer.decode(CollectionOfOne(token))))
    }
    try emit(text.finish())
    try sinks.stream("\n")
    result.isComplete = reason == .endOfSequence
    return result
  }

  /// The max number of new tokens after the prompt's `tokens`.
  ///
  /// - Throws: `ForgeError.badInput` for a prompt that is empty, of another vocabulary, or too long for so many tokens.
  private func length(after tokens: [Int32], _ configuration: ModelConfiguration) throws -> Int {
    guard !tokens.isEmpty else {
      throw ForgeError.badInput(
        "there is nothing to continue", hint: "give a --prompt", after: ": ", code: .emptyInput)
    }
    guard tokens.allSatisfy({ $0 < configuration.vocabularySize }) else {
      throw ForgeError.badInput(
        "the tokenizer is not this model's: it makes ids beyond the vocabulary of \(configuration.vocabularySize)",
        code: .tokenizerMismatch)
    }
    let room = configuration.maximumPositions - tokens.count
    guard room > 0 else {
      throw ForgeError.badInput(
        "the prompt's \(tokens.count) tokens leave nothing of the \(configuration.maximumPositions) positions of the "
          + "model", hint: "give a shorter one", after: ": ", code: .tooLong)
    }
    guard let maximumTokens else { return min(Self.usualTokens, room) }
    guard maximumTokens <= room else {
      throw ForgeError.badInput(
        "the prompt's \(tokens.count) tokens and --max-tokens \(maximumTokens) are more than the "
          + "\(configuration.maximumPositions) positions of the model", code: .tooLong)
    }
    return maximumTokens
  }
}

/// A prompt and its generated continuation.
public struct GeneratedText: CommandResult {
  public static let isStreamed = true
  /// The bytes of the prompt, which need not be valid UTF-8.
  public let prompt: [UInt8]
  let isChat: Bool
  /// The generated text, without the prompt.
  public internal(set) var continuation = ""
  public internal(set) var tokens: [Int32] = []
  /// Whether generation ended with an end-of-sequence token; false if it reached the max number of tokens.
  public internal(set) var isComplete = false

  init(prompt: [UInt8], isChat: Bool) { (self.prompt, self.isChat) = (prompt, isChat) }

  /// The prompt, unless it is an instruction, and the continuation.
  public var text: String { (isChat ? "" : String(decoding: prompt, as: UTF8.self)) + continuation + "\n" }

  public var json: JSONLine {
    .object([
      ("prompt", .string(String(decoding: prompt, as: UTF8.self))), ("text", .string(continuation)),
      ("ids", .integers(tokens)), ("finish_reason", .string(isComplete ? "end" : "length")),
    ])
  }
}
