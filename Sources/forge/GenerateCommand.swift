import ArgumentParser
import Diagnostics
import Foundation
import Generation
import Kernels
import Models
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
      """)

  @Option(help: "A Hugging Face folder, a run directory or a checkpoint.")
  var model: String

  @Option(help: "The text to continue.")
  var prompt = ""

  @Option(help: "How many tokens to make at most.")
  var maxTokens = 200

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

  func validate() throws {
    guard maxTokens > 0 else { throw ValidationError("--max-tokens must be at least 1.") }
    guard temperature >= 0, temperature.isFinite else { throw ValidationError("--temperature must not be negative.") }
    guard topK ?? 1 > 0 else { throw ValidationError("--top-k must be at least 1.") }
    guard topP ?? 1 > 0, topP ?? 1 <= 1 else { throw ValidationError("--top-p must be above 0 and at most 1.") }
  }

  func run() throws {
    let loaded = try LoadedModel(path: model, threads: threads)
    let tokenizer = try Tokenizer(contentsOf: TokenizerLocation(model: model, named: tokenizer).path)
    let configuration = loaded.configuration
    let tokens = try chat ? Prompt.instruction(prompt, tokenizer) : Prompt.plain(prompt, tokenizer)
    try check(tokens, configuration)
    let decoder = IncrementalDecoder(
      configuration, parameters: loaded.parameters, capacity: tokens.count + maxTokens,
      compute: Compute(threads: threads))
    let sampler = Sampler(temperature: greedy ? 0 : temperature, topK: topK, topP: topP, seed: seed)
    let generator = Generator(
      decoder, sampler: sampler, endOfSequence: tokenizer.endOfSequence ?? configuration.endOfSequence.map(Int32.init))
    var text = UTF8Stream()
    if !chat { try StandardOutput.write(prompt) }
    try generator.generate(prompt: tokens, maximumTokens: maxTokens) { token in
      try StandardOutput.write(text.append(tokenizer.decode(CollectionOfOne(token))))
    }
    try StandardOutput.write(text.finish() + "\n")
  }

  private func check(_ tokens: [Int32], _ configuration: ModelConfiguration) throws {
    guard !tokens.isEmpty else { throw ForgeError.badInput("there is nothing to continue: give a --prompt") }
    guard tokens.allSatisfy({ $0 < configuration.vocabularySize }) else {
      throw ForgeError.badInput(
        "the tokenizer is not this model's: it makes ids beyond the vocabulary of \(configuration.vocabularySize)")
    }
    guard tokens.count + maxTokens <= configuration.maximumPositions else {
      throw ForgeError.badInput(
        "the prompt's \(tokens.count) tokens and --max-tokens \(maxTokens) are more than the "
          + "\(configuration.maximumPositions) positions of the model")
    }
  }
}
