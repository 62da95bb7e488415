import Datasets
import Support
import Tokenizers

/// A request to validate datasets: reads every byte and reports what is damaged.
public struct ValidateData: Command {
  /// Folders written by `forge data prepare`, or prefixes of .bin/.idx pairs.
  public var datasets: [String]
  public var threads: Int

  public init(datasets: [String], threads: Int) { (self.datasets, self.threads) = (datasets, threads) }

  public func run(_ sinks: CommandSinks) throws -> DataVerdict {
    try ThreadLimit.check(threads)
    var result = DataVerdict()
    for dataset in datasets {
      let started = ContinuousClock.now
      let found = try DatasetValidation(path: dataset, threads: threads, tokenizerProblem: Self.problem)
      let verdict = DataVerdict.Dataset(
        path: dataset, parts: found.splits, problems: found.problems,
        seconds: (ContinuousClock.now - started) / .seconds(1))
      try sinks.stream(verdict.text(isOnly: datasets.count == 1))
      result.datasets.append(verdict)
    }
    return result
  }

  private static func problem(_ folder: String, _ fingerprint: String) -> String? {
    switch TokenizerFingerprint.hash(folder: folder) {
    case nil: "'\(folder)/tokenizer.json' is missing: the copy of the tokenizer that made the dataset"
    case fingerprint: nil
    default: "'\(folder)/tokenizer.json' is not the tokenizer that made the dataset"
    }
  }
}

/// The result of dataset validation.
public struct DataVerdict: CommandResult {
  /// The result of one dataset.
  public struct Dataset: Sendable {
    public var path: String
    public var parts: [DatasetValidation.Split]
    /// The problems found, a sentence each; empty for a valid dataset.
    public var problems: [String]
    public var seconds: Double

    /// The result as text.
    ///
    /// - Parameter isOnly: whether this is the only dataset; a single problem is then left to the error message.
    func text(isOnly: Bool) -> String {
      guard problems.isEmpty else { return isOnly && problems.count == 1 ? "" : problems.map { $0 + "\n" }.joined() }
      let size = Words.size(parts.reduce(0) { $0 + $1.bytes })
      return "\(path): sound, \(size) in \(Words.fixed(seconds, digits: 2)) s\n"
        + parts.map {
          "  \($0.prefix): \($0.tokens) tokens in \($0.documents) documents, SHA-256 \($0.root)\n"
        }.joined()
    }
  }

  public static let isStreamed = true
  public var datasets: [Dataset] = []

  public var text: String { datasets.map { $0.text(isOnly: datasets.count == 1) }.joined() }

  public var failure: ForgeError? {
    let wrong = datasets.filter { !$0.problems.isEmpty }
    let problems = wrong.flatMap(\.problems)
    guard let first = problems.first else { return nil }
    let number = datasets.count == 1 ? "" : "\(wrong.count) of \(datasets.count) datasets are damaged: "
    let more = problems.count > 1 ? "; \(problems.count - 1) more, as listed" : ""
    return .badInput(number + first + more, code: .fileDamaged)
  }

  public var json: JSONLine {
    let datasets = datasets.map { dataset in
      JSONLine.object([
        ("path", .path(dataset.path)), ("sound", .boolean(dataset.problems.isEmpty)),
        (
          "parts",
          .list(
            dataset.parts.map {
              .object([
                ("prefix", .path($0.prefix)), ("tokens", .integer($0.tokens)), ("documents", .integer($0.documents)),
                ("bytes", .integer($0.bytes)), ("sha256", .string($0.root)),
              ])
            })
        ), ("problems", .strings(dataset.problems)), ("seconds", .number(dataset.seconds)),
      ])
    }
    return .object([("sound", .boolean(failure == nil)), ("datasets", .list(datasets))])
  }
}
