import ArgumentParser
import Foundation
import Inference
import Kernels
import Models
import Support
import Tokenizers

struct ScoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "score",
    abstract: "Print the log-probabilities that a model gives to sequences of tokens.",
    discussion: """
      Prints a line for each sequence, in order: {"loss": L, "logprobs": […]}.
      "logprobs" has log p of every token but the first, given those before it, and "loss" is the mean of −log p in
      nats. Numbers have the shortest form that reads back to the same float; null stands for one that is not finite.
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

  func run() throws {
    let loaded = try LoadedModel(path: model, threads: threads)
    let sequences = try sequences(of: loaded.configuration)
    let longest = sequences.map(\.count).max() ?? 2
    let scorer = Scorer(
      loaded.configuration, parameters: loaded.parameters, longest: longest, backend: Backend(threads: threads))
    for ids in sequences {
      let score = try scorer.score(ids)
      // JSON has no other numbers.
      let logProbabilities = score.logProbabilities.map { $0.isFinite ? "\($0)" : "null" }.joined(separator: ",")
      let loss = score.loss.isFinite ? "\(score.loss)" : "null"
      try StandardOutput.write("{\"loss\":\(loss),\"logprobs\":[\(logProbabilities)]}\n")
    }
  }

  private func sequences(of configuration: ModelConfiguration) throws -> [[Int32]] {
    let (vocabularySize, positions) = (configuration.vocabularySize, configuration.maximumPositions)
    if let tokens {
      return try TokenLines(path: tokens, vocabularySize: vocabularySize, positions: positions).sequences
    }
    guard let text else { return [] }
    let found = try Tokenizer(contentsOf: TokenizerLocation(model: model, named: tokenizer).path)
    let bytes = try TokenizerCommand.readText(text)
    let ids = try [found.beginOfSequence].compactMap { $0 } + found.encode(bytes, named: text)
    guard ids.count >= 2 else { throw ForgeError.badInput("'\(text)' has too little text to score") }
    guard ids.allSatisfy({ $0 < vocabularySize }) else {
      throw ForgeError.badInput(
        "the tokenizer is not this model's: it makes ids beyond the vocabulary of \(vocabularySize)")
    }
    guard ids.count <= positions else {
      throw ForgeError.badInput("'\(text)' has \(ids.count) tokens, more than the \(positions) positions of the model")
    }
    return [ids]
  }
}
