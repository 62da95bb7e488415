import Foundation
import Inference
import Kernels
import Models
import Support
import Tokenizers

/// Continues a text with a model.
public struct GenerateText: Command {
  /// What to continue.
  public enum Source: Sendable {
    case text(String)
    /// A file, or standard input for `-`; a line break at its end does not count.
    case file(String)
  }

  /// A Hugging Face folder, a run directory or a checkpoint.
  public var model: String
  public var prompt: Source
  /// The most tokens to make; nil for 200, or as many as there are positions for.
  public var maximumTokens: Int?
  public var sampler: Sampler
  /// Whether the prompt is an instruction in Mistral's chat format.
  public var chat = false
  /// The tokenizer's folder, where it is not found with the model.
  public var tokenizer: String?
  public var threads: Int

  public init(
    model: String, prompt: Source, maximumTokens: Int?, sampler: Sampler, chat: Bool, tokenizer: String?, threads: Int
  ) {
    (self.model, self.prompt, self.maximumTokens, self.sampler) = (model, prompt, maximumTokens, sampler)
    (self.chat, self.tokenizer, self.threads) = (chat, tokenizer, threads)
  }

  /// More than any model has positions, and any vocabulary tokens.
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

  /// How many tokens to make at most.
  ///
  /// - Throws: `ForgeError.badInput` for a prompt that cannot be continued, or not by so many tokens.
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

/// A text and how it goes on.
public struct GeneratedText: CommandResult {
  public static let isStreamed = true
  /// Its bytes, which need not be UTF-8.
  public let prompt: [UInt8]
  let isChat: Bool
  /// What the model has made.
  public internal(set) var continuation = ""
  public internal(set) var tokens: [Int32] = []
  /// Whether the model has ended the text; else there was no more room.
  public internal(set) var isComplete = false

  init(prompt: [UInt8], isChat: Bool) { (self.prompt, self.isChat) = (prompt, isChat) }

  /// The prompt, unless it was an instruction, and what follows it.
  public var text: String { (isChat ? "" : String(decoding: prompt, as: UTF8.self)) + continuation + "\n" }

  public var json: JSONLine {
    .object([
      ("prompt", .string(String(decoding: prompt, as: UTF8.self))), ("text", .string(continuation)),
      ("ids", .integers(tokens)), ("finish_reason", .string(isComplete ? "end" : "length")),
    ])
  }
}
