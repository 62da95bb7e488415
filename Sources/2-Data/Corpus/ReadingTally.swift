import DocumentText
import Foundation
import Support

/// A skipped file, or a skipped line of one.
struct SkippedFile: Sendable {
  var path: RawPath
  var line: Int?
  var reason: SkipReason

  /// For messages: the path, and the line when there is one.
  var place: String { "'\(path.string)'" + (line.map { ", line \($0)," } ?? "") }
}

/// The counts of a reading of documents: duplicates, skipped files and replaced bytes.
public struct ReadingTally: Sendable {
  /// Documents whose text an earlier document has.
  public private(set) var duplicates = 0
  /// Skipped files, or lines of files, by the reason.
  public private(set) var skipped: [SkipReason: Int] = [:]
  /// Invalid sequences that became U+FFFD.
  public private(set) var replacements = 0
  /// Documents with such sequences.
  public private(set) var damagedDocuments = 0

  public init() {}

  /// Counts a duplicate or a skipped file.
  ///
  /// Throws `badInput` when it is a loss and the options are strict.
  mutating func add<Payload: Sendable>(_ outcome: Documents.Outcome<Payload>, options: ReadingOptions) throws {
    switch outcome {
    case .document: break
    case .duplicate: duplicates += 1
    case .skipped(let file):
      skipped[file.reason, default: 0] += 1
      guard !options.isStrict || !file.reason.isLoss else {
        throw ForgeError.badInput(
          "\(file.place) \(file.reason.complaint) (--strict allows no loss)", code: .unreadableText)
      }
    }
  }

  /// Counts a document's replaced sequences.
  mutating func add(_ replacements: Int) {
    self.replacements += replacements
    if replacements > 0 { damagedDocuments += 1 }
  }

  func check(_ path: RawPath, replacements: Int, options: ReadingOptions) throws {
    guard !options.isStrict || replacements == 0 else {
      throw ForgeError.badInput(
        "'\(path.string)' has \(replacements) places that mean nothing in its encoding (--strict allows no loss)",
        hint: "mend them, or name the right encoding with --encoding", after: ": ", code: .unreadableText)
    }
  }

  /// `2 duplicates, 1 encoding; 3 stray bytes in 1 document became U+FFFD`.
  public var summary: String {
    let reasons = skipped.sorted { $0.key.rawValue < $1.key.rawValue }
      .map { "\($0.value) \($0.key.rawValue.replacingOccurrences(of: "_", with: " "))" }
    let left = (["\(duplicates) duplicates"] + reasons).joined(separator: ", ")
    guard replacements > 0 else { return left }
    let documents = damagedDocuments == 1 ? "1 document" : "\(damagedDocuments) documents"
    return left + "; \(replacements) stray bytes in \(documents) became U+FFFD"
  }

  /// Returns the `badInput` error `there is no document in 'x': left out are 2 binary`.
  public func failWithoutDocuments(inputs: [String]) -> ForgeError {
    let places = inputs.map { "'\(PathBytes.display($0))'" }.joined(separator: ", ")
    let hints = SkipReason.allCases.filter { skipped[$0] != nil }.compactMap(\.hint)
    let reason = skipped.isEmpty && duplicates == 0 ? "" : ": left out are \(summary)"
    let hint = hints.isEmpty ? nil : hints.joined(separator: "; ")
    return ForgeError(
      .badInput, sentence: "there is no document in \(places)" + reason + (hint.map { " (\($0))" } ?? ""), hint: hint,
      code: .emptyInput, keyPath: nil)
  }
}

extension SkipReason {
  /// What is wrong with a file, as the continuation of a sentence that begins with its name.
  fileprivate var complaint: String {
    switch self {
    case .binary: "is not text"
    case .empty: "has no text"
    case .unreadable: "cannot be read"
    case .damaged: "is damaged"
    case .tooLarge: "is larger than a document may be, 1 GiB"
    case .encoding: "is neither UTF-8 nor UTF-16 with a byte order mark; name its encoding with --encoding"
    case .noText: "has no text of the name that was asked for; name the right one with --text-field"
    case .ownOutput: "is an output of forge"
    case .ignored: "is named by a .gitignore"
    case .excluded: "is named by --exclude"
    case .versionControl: "is of a version control system"
    case .special: "is neither a file nor a folder"
    }
  }

  /// What can be done about files skipped for this reason.
  fileprivate var hint: String? {
    switch self {
    case .encoding: "name the encoding of such files with --encoding"
    case .noText: "name the member that holds the text with --text-field"
    case .ignored: "--no-gitignore reads what .gitignore files name"
    default: nil
    }
  }
}
