import DocumentText
import Foundation
import Support
import Synchronization

/// A document as training sees it.
public struct Document: Sendable {
  public let id: DocumentID
  /// The text, UTF-8.
  public let bytes: [UInt8]
  /// How many places of it meant nothing in its encoding and became U+FFFD.
  public let replacements: Int
  /// The file it was read from: an input and the path below it.
  let path: RawPath

  init(_ text: TextExtractor.Text, path: RawPath) {
    id = DocumentID(of: text.bytes)
    bytes = text.bytes
    replacements = text.replacements
    self.path = path
  }
}

/// The documents below files and folders: text in any encoding, Markdown, HTML, notebooks, JSON Lines and source code,
/// gzipped or not. Exact duplicates come once; everything is in an order that depends only on file names.
public enum Documents {
  /// Calls `body` with the texts of all documents, in order; they are read on several threads.
  ///
  /// Throws `badInput` when a path does not exist, or the options say so.
  /// - Returns: what was left out.
  public static func read(
    at paths: [String], options: ReadingOptions = ReadingOptions(), threads: Int, _ body: ([UInt8]) throws -> Void
  ) throws -> ReadingTally {
    var tally = ReadingTally()
    for outcome in try outcomes(at: paths, options: options, threads: threads, payload: { $0 }) {
      try tally.add(outcome, options: options)
      if case .document(let document, _) = outcome {
        tally.add(document.replacements)
        try tally.check(document.path, replacements: document.replacements, options: options)
        try body(document.bytes)
      }
    }
    return tally
  }

  /// The texts of all documents, read while they are asked for, on several threads (as many as the machine has cores
  /// when not given).
  ///
  /// Throws `badInput` when a path does not exist.
  public static func texts(at paths: [String], threads: Int? = nil) throws -> some Sequence<[UInt8]> {
    try outcomes(at: paths, threads: threads) { $0.bytes }.lazy.compactMap { outcome in
      if case .document(let bytes, _) = outcome { bytes } else { nil }
    }
  }

  /// What became of a file, or of a line of one.
  enum Outcome<Payload: Sendable>: Sendable {
    case document(Payload, line: Int?)
    case duplicate
    case skipped(SkippedFile)
  }

  /// Every file's outcomes, in order. `payload` turns a document into what is needed of it, on any thread; it may be
  /// called for a document that proves to be a duplicate.
  static func outcomes<Payload: Sendable>(
    at paths: [String], excluding excluded: Set<FileIdentity> = [], options: ReadingOptions = ReadingOptions(),
    threads: Int? = nil, payload: @escaping @Sendable (Document) -> Payload
  ) throws -> some Sequence<Outcome<Payload>> {
    let threads = threads ?? ProcessInfo.processInfo.activeProcessorCount
    let reader = DocumentReader(extractor: try options.extractor(threads: threads))
    let claims = Claims()
    let results = OrderedParallelMap(
      inputs: DocumentWorkList(
        walk: try FileWalk(inputs: paths, excluding: excluded, options: options), textField: options.textField),
      threads: threads
    ) { ordinal, work -> WorkResult<Payload> in
      let read = reader.read(work)
      let candidates = read.items.enumerated().map { place, item -> Candidate<Payload> in
        let claim = Claim(work: ordinal, item: place)
        switch item.result {
        case .failure(let reason): return .skipped(reason, line: item.line)
        case .success(let document):
          guard claims.claim(document.id, claim) else { return .duplicate }
          return .document(payload(document), id: document.id, claim, line: item.line)
        }
      }
      return WorkResult(
        path: read.path, candidates: candidates, lineCount: read.lineCount, isContinued: read.isContinued)
    }
    return Settled(results: results.makeIterator(), claims: claims)
  }

  /// What a piece of work gave.
  private struct WorkResult<Payload: Sendable>: Sendable {
    var path: RawPath
    var candidates: [Candidate<Payload>]
    var lineCount: Int
    var isContinued: Bool
  }

  /// An outcome before all earlier files are known.
  private enum Candidate<Payload: Sendable>: Sendable {
    case document(Payload, id: DocumentID, Claim, line: Int?)
    case duplicate
    case skipped(SkipReason, line: Int?)
  }

  /// Outcomes in order, lines counted from the file's first.
  private struct Settled<Results: IteratorProtocol, Payload: Sendable>: Sequence, IteratorProtocol
  where Results.Element == WorkResult<Payload> {
    var results: Results
    let claims: Claims
    var current: WorkResult<Payload>?
    var place = 0
    var linesBefore = 0

    init(results: Results, claims: Claims) {
      self.results = results
      self.claims = claims
    }

    mutating func next() -> Outcome<Payload>? {
      while true {
        if let result = current, place < result.candidates.count {
          place += 1
          return settle(result.candidates[place - 1], path: result.path)
        }
        let before = current?.lineCount ?? 0
        guard let result = results.next() else { return nil }
        linesBefore = result.isContinued ? linesBefore + before : 0
        current = result
        place = 0
      }
    }

    private func settle(_ candidate: Candidate<Payload>, path: RawPath) -> Outcome<Payload> {
      switch candidate {
      case .document(let payload, let id, let claim, let line):
        claims.isFirst(id, claim) ? .document(payload, line: line.map { $0 + linesBefore }) : .duplicate
      case .duplicate: .duplicate
      case .skipped(let reason, let line):
        .skipped(SkippedFile(path: path, line: line.map { $0 + linesBefore }, reason: reason))
      }
    }
  }
}

/// A document's place among all.
private struct Claim: Comparable, Sendable {
  var work: Int
  var item: Int

  static func < (left: Claim, right: Claim) -> Bool { (left.work, left.item) < (right.work, right.item) }
}

/// Which document has a text first. Threads claim texts in any order, but when every file up to one has claimed its own,
/// the lowest place of each of these texts is certain.
private final class Claims: Sendable {
  private let lowest = Mutex<[DocumentID: Claim]>([:])

  /// Claims a text for a document; returns false when an earlier one has it.
  func claim(_ id: DocumentID, _ claim: Claim) -> Bool {
    lowest.withLock { lowest in
      if let other = lowest[id], other < claim { return false }
      lowest[id] = claim
      return true
    }
  }

  func isFirst(_ id: DocumentID, _ claim: Claim) -> Bool { lowest.withLock { $0[id] == claim } }
}
