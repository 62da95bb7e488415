import ArgumentParser
import Commands
import Foundation

struct ScoreCommand: RequestingCommand {
  static let configuration = CommandConfiguration(
    commandName: "score",
    abstract: "Print the log-probabilities that a model gives to sequences of tokens.",
    discussion: """
      Prints a line for each sequence, in order: {"loss": L, "logprobs": […]}.
      "logprobs" has log p of every token but the first, given those before it, and "loss" is the mean of −log p in
      nats. Numbers have the shortest form that reads back to the same float; null stands for one that is not finite.
      With --json they are one document, {"sequences": [{"loss": L, "logprobs": […]}, …]}.
      Sequences are scored one at a time: a score does not depend on its neighbours.

      EXAMPLES
        echo '{"ids":[1,17,42,5]}' > ids.jsonl
        forge score --model runs/quickstart --tokens ids.jsonl
        forge score --model path/to/hugging-face-folder --text chapter.txt
      """)

  @Option(help: "A Hugging Face folder, a run directory or a checkpoint.")
  var model: String

  @Option(help: ArgumentHelp("JSON lines {\"ids\":[…]}.", valueName: "file.jsonl"))
  var tokens: String?

  @Option(help: ArgumentHelp("A text to score as one sequence, with the model's tokenizer.", valueName: "file"))
  var text: String?

  @Option(help: "The tokenizer's folder, where it is not found beside the model.")
  var tokenizer: String?

  @Option(help: "How many threads to use; results do not depend on it.")
  var threads = ProcessInfo.processInfo.activeProcessorCount

  func validate() throws {
    guard (tokens == nil) != (text == nil) else { throw ValidationError("Give either --tokens or --text.") }
  }

  @OptionGroup
  var output: OutputOptions

  func request() -> ScoreSequences {
    ScoreSequences(
      model: model, source: tokens.map { .tokens($0) } ?? .text(text ?? ""), tokenizer: tokenizer, threads: threads)
  }
}
