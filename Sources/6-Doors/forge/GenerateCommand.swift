import ArgumentParser
import Foundation
import Inference
import Kernels
import Models
import Support
import Tokenizers

struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Continue a text with a model.",
    discussion: """
      The text appears as it is made. The same model, prompt and settings give the same text every time; another --seed
      gives another text.

      EXAMPLES
        forge generate --model runs/quickstart --prompt 'Packages must'
        forge generate --model runs/quickstart --prompt 'Packages must' --greedy --max-tokens 50
        forge generate --model my-model --chat --prompt 'What is a package?' --top-p 0.95
        git log -1 --format=%B | forge generate --model runs/quickstart --prompt-file -
      """)

  @Option(help: "A Hugging Face folder, a run directory or a checkpoint.")
  var model: String

  @Option(parsing: .unconditional, help: "The text to continue; it may begin with a dash.")
  var prompt: String?

  @Option(
    help: ArgumentHelp(
      "A file with the text to continue, - for standard input; a line break at its end does not count.",
      valueName: "file"))
  var promptFile: String?

  @Option(help: "How many tokens to make at most. (default: 200, or as many as the model has positions for)")
  var maxTokens: Int?

  @Option(help: "How daring to be: 0 always takes the likeliest token, 1 follows the model's probabilities.")
  var temperature = 0.8

  @Option(help: "Draw from this many of the likeliest tokens only.")
  var topK: Int?

  @Option(help: "Draw from the likeliest tokens that together have this probability only.")
  var topP: Double?

  @Flag(help: "Always take the likeliest token.")
  var greedy = false

  @Option(help: "Which of the possible texts to make.")
  var seed: UInt64 = 1

  @Flag(help: "Treat the prompt as an instruction in Mistral's chat format.")
  var chat = false

  @Option(help: "The tokenizer's folder, where it is not found with the model.")
  var tokenizer: String?

  @Option(help: "How many threads to use; results do not depend on it.")
  var threads = ProcessInfo.processInfo.activeProcessorCount

  /// More than any model has positions, and any vocabulary tokens.
  private static let maxTokens = 1 << 24
  private static let usualTokens = 200

  func validate() throws {
    guard (1...Self.maxTokens).contains(maxTokens ?? 1) else {
      throw ValidationError("--max-tokens must be between 1 and \(Self.maxTokens).")
    }
    guard (0...100).contains(temperature) else { throw ValidationError("--temperature must be between 0 and 100.") }
    guard (1...Self.maxTokens).contains(topK ?? 1) else {
      throw ValidationError("--top-k must be between 1 and \(Self.maxTokens).")
    }
    guard topP ?? 1 > 0, topP ?? 1 <= 1 else { throw ValidationError("--top-p must be above 0 and at most 1.") }
    guard prompt == nil || promptFile == nil else { throw ValidationError("Give either --prompt or --prompt-file.") }
  }

  func run() throws {
    let loaded = try LoadedModel(path: model, threads: threads)
    let tokenizer = try Tokenizer(contentsOf: TokenizerLocation(model: model, named: tokenizer).path)
    let configuration = loaded.configuration
    let prompt = try promptFile.map(Prompt.read) ?? PathBytes.bytes(of: prompt ?? "")
    let tokens = try chat ? Prompt.instruction(prompt, tokenizer) : Prompt.plain(prompt, tokenizer)
    let maxTokens = try length(after: tokens, configuration)
    let decoder = IncrementalDecoder(
      configuration, parameters: loaded.parameters, capacity: tokens.count + maxTokens,
      backend: Backend(threads: threads))
    let sampler = Sampler(temperature: greedy ? 0 : temperature, topK: topK, topP: topP, seed: seed)
    let generator = Generator(decoder, sampler: sampler, ends: try loaded.ends(tokenizer))
    var text = UTF8Stream()
    if !chat { try StandardOutput.write(prompt) }
    try generator.generate(prompt: tokens, maximumTokens: maxTokens) { token in
      try StandardOutput.write(text.append(tokenizer.decode(CollectionOfOne(token))))
    }
    try StandardOutput.write(text.finish() + "\n")
  }

  /// How many tokens to make at most.
  ///
  /// - Throws: `ForgeError.badInput` for a prompt that cannot be continued, or not by so many tokens.
  private func length(after tokens: [Int32], _ configuration: ModelConfiguration) throws -> Int {
    guard !tokens.isEmpty else { throw ForgeError.badInput("there is nothing to continue: give a --prompt") }
    guard tokens.allSatisfy({ $0 < configuration.vocabularySize }) else {
      throw ForgeError.badInput(
        "the tokenizer is not this model's: it makes ids beyond the vocabulary of \(configuration.vocabularySize)")
    }
    let room = configuration.maximumPositions - tokens.count
    guard room > 0 else {
      throw ForgeError.badInput(
        "the prompt's \(tokens.count) tokens leave nothing of the \(configuration.maximumPositions) positions of the "
          + "model: give a shorter one")
    }
    guard let maxTokens else { return min(Self.usualTokens, room) }
    guard maxTokens <= room else {
      throw ForgeError.badInput(
        "the prompt's \(tokens.count) tokens and --max-tokens \(maxTokens) are more than the "
          + "\(configuration.maximumPositions) positions of the model")
    }
    return maxTokens
  }
}
