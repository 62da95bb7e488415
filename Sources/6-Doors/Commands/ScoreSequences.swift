import Foundation
import Inference
import Kernels
import Models
import Support
import Tokenizers

/// A request to compute the log-probabilities of token sequences under a model.
public struct ScoreSequences: Command {
  /// The source of the sequences.
  public enum Source: Sendable {
    /// A file of JSON lines `{"ids":[…]}`.
    case tokens(String)
    /// A text file, scored as one sequence.
    case text(String)
  }

  /// A Hugging Face folder, a run directory or a checkpoint.
  public var model: String
  public var source: Source
  /// The tokenizer's folder; nil to use the one found with the model.
  public var tokenizer: String?
  public var threads: Int

  public init(model: String, source: Source, tokenizer: String?, threads: Int) {
    (self.model, self.source, self.tokenizer, self.threads) = (model, source, tokenizer, threads)
  }

  public func run(_ sinks: CommandSinks) throws -> SequenceScores {
    let loaded = try LoadedModel(path: model, threads: threads, sinks)
    let sequences = try sequences(of: loaded.configuration)
    let longest = sequences.map(\.count).max() ?? 2
    let scorer = Scorer(
      loaded.configuration, parameters: loaded.parameters, longest: longest, backend: Backend(threads: threads))
    var result = SequenceScores()
    for ids in sequences {
      let score = try scorer.score(ids)
      let scored = SequenceScores.Sequence(loss: score.loss, logProbabilities: score.logProbabilities)
      try sinks.stream(scored.text)
      result.sequences.append(scored)
    }
    return result
  }

  private func sequences(of configuration: ModelConfiguration) throws -> [[Int32]] {
    let (vocabularySize, positions) = (configuration.vocabularySize, configuration.maximumPositions)
    let text: String
    switch source {
    case .tokens(let path):
      return try TokenLines(path: path, vocabularySize: vocabularySize, positions: positions).sequences
    case .text(let path): text = path
    }
    let found = try Tokenizer(contentsOf: TokenizerLocation(model: model, named: tokenizer).path)
    let bytes = try InputFile.text(text)
    let ids = try [found.beginOfSequence].compactMap { $0 } + found.encode(bytes, named: text)
    guard ids.count >= 2 else {
      throw ForgeError.badInput("'\(text)' has too little text to score", code: .emptyInput)
    }
    guard ids.allSatisfy({ $0 < vocabularySize }) else {
      throw ForgeError.badInput(
        "the tokenizer is not this model's: it makes ids beyond the vocabulary of \(vocabularySize)",
        code: .tokenizerMismatch)
    }
    guard ids.count <= positions else {
      throw ForgeError.badInput(
        "'\(text)' has \(ids.count) tokens, more than the \(positions) positions of the model", code: .tooLong)
    }
    return [ids]
  }
}

/// The scores of the sequences, in input order.
public struct SequenceScores: CommandResult {
  /// The score of one sequence.
  public struct Sequence: Sendable {
    /// The mean negative log-likelihood −log p, in nats per token.
    public var loss: Double
    /// The log-probability of every token but the first, given those before it.
    public var logProbabilities: [Float]

    /// A JSON line; numbers that are not finite, which JSON lacks, become null.
    var text: String {
      let values = logProbabilities.map { $0.isFinite ? "\($0)" : "null" }.joined(separator: ",")
      return "{\"loss\":\(loss.isFinite ? "\(loss)" : "null"),\"logprobs\":[\(values)]}\n"
    }
  }

  public static let isStreamed = true
  public internal(set) var sequences: [Sequence] = []

  public var text: String { sequences.map(\.text).joined() }

  public var json: JSONLine {
    let sequences = sequences.map {
      JSONLine.object([("loss", .number($0.loss)), ("logprobs", .list($0.logProbabilities.map { .single($0) }))])
    }
    return .object([("sequences", .list(sequences))])
  }
}
