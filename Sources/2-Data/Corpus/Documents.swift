import DocumentText
import Foundation
import Support
import Synchronization

/// A document: its extracted text, identity and source file.
public struct Document: Sendable {
  public let id: DocumentID
  /// The text, UTF-8.
  public let bytes: [UInt8]
  /// How many invalid sequences became U+FFFD.
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
/// gzipped or not. Exact duplicates are removed; the order depends only on file names.
public enum Documents {
  /// Calls `body` with the texts of all documents, in order; they are read on several threads.
  ///
  /// Throws `badInput` when a path does not exist, or when strict options reject a loss.
  /// - Returns: the counts of what was skipped.
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

  /// The texts of all documents, read during the iteration on several threads (by default as many as the machine has
  /// cores).
  ///
  /// Throws `badInput` when a path does not exist.
  public static func texts(at paths: [String], threads: Int? = nil) throws -> some Sequence<[UInt8]> {
    try outcomes(at: paths, threads: threads) { $0.bytes }.lazy.compactMap { outcome in
      if case .document(let bytes, _) = outcome { bytes } else { nil }
    }
  }

  /// The outcome of reading a file, or a line of one.
  enum Outcome<Payload: Sendable>: Sendable {
    case document(Payload, line: Int?)
    case duplicate
    case skipped(SkippedFile)
  }

  /// The outcomes of all files, in order. `payload` maps a document on any thread; it may be called for a document that
  /// turns out to be a duplicate.
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

  /// The result of a work item.
  private struct WorkResult<Payload: Sendable>: Sendable {
    var path: RawPath
    var candidates: [Candidate<Payload>]
    var lineCount: Int
    var isContinued: Bool
  }

  /// An outcome before all earlier files have been read.
  private enum Candidate<Payload: Sendable>: Sendable {
    case document(Payload, id: DocumentID, Claim, line: Int?)
    case duplicate
    case skipped(SkipReason, line: Int?)
  }

  /// The final outcomes in order, with lines counted from the file's first.
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

/// A document's position in the order of all documents.
private struct Claim: Comparable, Sendable {
  var work: Int
  var item: Int

  static func < (left: Claim, right: Claim) -> Bool { (left.work, left.item) < (right.work, right.item) }
}

/// Deduplication: the first document with each text. Threads claim texts in any order, but once every file up to one
/// has claimed its texts, the lowest position of each of these is final.
private final class Claims: Sendable {
  private let lowest = Mutex<[DocumentID: Claim]>([:])

  /// Claims a text for a document; returns false when an earlier document has claimed it.
  func claim(_ id: DocumentID, _ claim: Claim) -> Bool {
    lowest.withLock { lowest in
      if let other = lowest[id], other < claim { return false }
      lowest[id] = claim
      return true
    }
  }

  func isFirst(_ id: DocumentID, _ claim: Claim) -> Bool { lowest.withLock { $0[id] == claim } }
}
