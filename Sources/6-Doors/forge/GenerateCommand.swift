import ArgumentParser
import Commands
import Foundation
import Inference

struct GenerateCommand: RequestingCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Continue a text with a model.",
    discussion: """
      The text appears as it is made; with --json, as one document at the end. The same model, prompt and settings give the same text every time; another --seed
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

  @Option(help: "Sampling temperature: 0 always takes the likeliest token, 1 samples from the model's probabilities.")
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
    guard (1...GenerateText.maxTokens).contains(maxTokens ?? 1) else {
      throw ValidationError("--max-tokens must be between 1 and \(GenerateText.maxTokens).")
    }
    guard (0...100).contains(temperature) else { throw ValidationError("--temperature must be between 0 and 100.") }
    guard (1...GenerateText.maxTokens).contains(topK ?? 1) else {
      throw ValidationError("--top-k must be between 1 and \(GenerateText.maxTokens).")
    }
    guard topP ?? 1 > 0, topP ?? 1 <= 1 else { throw ValidationError("--top-p must be above 0 and at most 1.") }
    guard prompt == nil || promptFile == nil else { throw ValidationError("Give either --prompt or --prompt-file.") }
  }

  @OptionGroup
  var output: OutputOptions

  func request() -> GenerateText {
    GenerateText(
      model: model, prompt: promptFile.map { .file($0) } ?? .text(prompt ?? ""), maximumTokens: maxTokens,
      sampler: Sampler(temperature: greedy ? 0 : temperature, topK: topK, topP: topP, seed: seed), chat: chat,
      tokenizer: tokenizer, threads: threads)
  }
}
