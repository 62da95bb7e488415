import DocumentText

/// A work item: a file to read, or whole lines of a large one.
enum DocumentWork: Sendable {
  case file(RawPath)
  /// The lines of a JSON Lines file that begin in a range of its bytes.
  case lines(RawPath, Range<Int>, isFirst: Bool)
  case leftOut(RawPath, SkipReason)
}

/// The work items of a file walk. Large JSON Lines files are split, so that several threads read one file.
struct DocumentWorkList: Sequence, IteratorProtocol {
  private var walk: FileWalk
  private var pieces: [DocumentWork] = []
  private let textField: String
  private let pieceSize: Int

  init(walk: FileWalk, textField: String, pieceSize: Int = 1 << 24) {
    self.walk = walk
    self.textField = textField
    self.pieceSize = pieceSize
  }

  mutating func next() -> DocumentWork? {
    if let piece = pieces.popLast() { return piece }
    switch walk.next() {
    case nil: return nil
    case .leftOut(let path, let reason): return .leftOut(path, reason)
    case .file(let path, let byteCount):
      guard let byteCount, byteCount > 2 * pieceSize, isPlainJSONLines(path) else { return .file(path) }
      let starts = stride(from: 0, to: byteCount, by: pieceSize)
      pieces = starts.map { .lines(path, $0..<Swift.min($0 + pieceSize, byteCount), isFirst: $0 == 0) }.reversed()
      return pieces.popLast()
    }
  }

  private func isPlainJSONLines(_ path: RawPath) -> Bool {
    let name = String(decoding: path.name, as: UTF8.self).lowercased()
    guard TextExtractor.isJSONLines(name: name) else { return false }
    guard let start = try? path.contents(in: 0..<1 << 16, limit: 1 << 17) else { return false }
    return start.first == UInt8(ascii: "{") && !OwnOutput.isOwn(start, textField: textField)
  }
}

/// A reader of a work item's documents.
struct DocumentReader: Sendable {
  var extractor: TextExtractor

  /// A document or why it was skipped, with its line in a JSON Lines file.
  struct Item: Sendable {
    var line: Int?
    var result: Result<Document, SkipReason>
  }

  /// Reads the documents of a work item in order. Lines of a part of a file are counted from the part's first, and
  /// `lineCount` is how many the part has; it is 0 for a whole file.
  func read(_ work: DocumentWork) -> (path: RawPath, items: [Item], lineCount: Int, isContinued: Bool) {
    switch work {
    case .leftOut(let path, let reason): return (path, [Item(result: .failure(reason))], 0, false)
    case .file(let path): return (path, file(path), 0, false)
    case .lines(let path, let range, let isFirst):
      do throws(SkipReason) {
        let read = extractor.lines(in: try Self.wholeLines(of: path, beginningIn: range))
        return (path, items(read.items, path), read.lineCount, !isFirst)
      } catch {
        return (path, [Item(result: .failure(error))], 0, !isFirst)
      }
    }
  }

  private func file(_ path: RawPath) -> [Item] {
    do throws(SkipReason) {
      let bytes = try path.contents(limit: TextExtractor.maximumByteCount)
      guard !OwnOutput.isOwn(bytes, textField: extractor.textField) else { throw .ownOutput }
      let name = String(decoding: path.name, as: UTF8.self).lowercased()
      return items(extractor.documents(in: bytes, name: name), path)
    } catch {
      return [Item(result: .failure(error))]
    }
  }

  private func items(_ items: [TextExtractor.Item], _ path: RawPath) -> [Item] {
    items.map { item in Item(line: item.line, result: item.result.map { Document($0, path: path) }) }
  }

  /// Reads the lines that begin in a range.
  private static func wholeLines(of path: RawPath, beginningIn range: Range<Int>) throws(SkipReason) -> [UInt8] {
    let feed = UInt8(ascii: "\n")
    let limit = TextExtractor.maximumByteCount
    // The byte before the range shows whether a line begins with the range.
    let start = Swift.max(0, range.lowerBound - 1)
    var bytes = try path.contents(in: start..<range.upperBound, limit: limit)
    if range.lowerBound > 0 {
      guard let end = bytes.firstIndex(of: feed) else { return [] }
      bytes.removeFirst(end + 1)
    }
    var place = range.upperBound
    while !bytes.isEmpty, bytes.last != feed {
      let more = try path.contents(in: place..<place + 1 << 20, limit: limit)
      guard !more.isEmpty else { break }
      let end = more.firstIndex(of: feed)
      bytes += more[...(end ?? more.count - 1)]
      place += more.count
      guard bytes.count <= limit else { throw .tooLarge }
    }
    return bytes
  }
}
