import Diagnostics
import Foundation
import Synchronization

/// The documents below files and folders: text, Markdown, reStructuredText, HTML and source code, gzipped or not. Exact
/// duplicates come once; everything is in an order that depends only on file names.
public enum Documents {
  /// The texts of all documents, read while they are asked for, on several threads (as many as the machine has cores
  /// when not given).
  ///
  /// Throws `badInput` when a path does not exist.
  public static func texts(at paths: [String], threads: Int? = nil) throws -> some Sequence<[UInt8]> {
    try outcomes(at: paths, threads: threads) { $0.bytes }.lazy.compactMap { outcome in
      if case .document(let bytes) = outcome { bytes } else { nil }
    }
  }

  /// What became of a file.
  enum Outcome<Payload: Sendable>: Sendable {
    case document(Payload)
    case duplicate
    case skipped(SkipReason)
  }

  /// Every file's outcome, in order. `payload` turns a document into what is needed of it, on any thread; it may be
  /// called for a document that proves to be a duplicate.
  static func outcomes<Payload: Sendable>(
    at paths: [String], excluding excluded: Set<FileIdentity> = [], threads: Int? = nil,
    payload: @escaping @Sendable (Document) -> Payload
  ) throws -> some Sequence<Outcome<Payload>> {
    let claims = Claims()
    let candidates = OrderedParallelMap(
      inputs: try FileWalk(inputs: paths, excluding: excluded),
      threads: threads ?? ProcessInfo.processInfo.activeProcessorCount
    ) { ordinal, path -> Candidate<Payload> in
      do throws(Extraction.Skipped) {
        let document = try Extraction.document(at: path)
        guard claims.claim(document.id, ordinal: ordinal) else { return .duplicate }
        return .document(payload(document), id: document.id, ordinal: ordinal)
      } catch {
        return .skipped(error.reason)
      }
    }
    return candidates.lazy.map { candidate in
      switch candidate {
      case .document(let payload, let id, let ordinal):
        claims.isFirst(id, ordinal: ordinal) ? .document(payload) : .duplicate
      case .duplicate: .duplicate
      case .skipped(let reason): .skipped(reason)
      }
    }
  }

  /// An outcome before all earlier files are known.
  private enum Candidate<Payload: Sendable>: Sendable {
    case document(Payload, id: DocumentID, ordinal: Int)
    case duplicate
    case skipped(SkipReason)
  }
}

/// Which file has a text first. Threads claim texts in any order, but when every file up to one has claimed its own,
/// the lowest ordinal of each of these texts is certain.
private final class Claims: Sendable {
  private let lowest = Mutex<[DocumentID: Int]>([:])

  /// Claims a text for a file; returns false when an earlier file has it.
  func claim(_ id: DocumentID, ordinal: Int) -> Bool {
    lowest.withLock { lowest in
      if let other = lowest[id], other < ordinal { return false }
      lowest[id] = ordinal
      return true
    }
  }

  func isFirst(_ id: DocumentID, ordinal: Int) -> Bool { lowest.withLock { $0[id] == ordinal } }
}
