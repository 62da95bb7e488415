import Foundation
import Support
import Testing

@testable import Formats

@Suite struct IndexedDatasetTests {
  /// The tokens of scripts/fixtures/formats.py.
  private let tokens = (0..<100).map { Int32((7 * $0 * $0 + 3) % 120) }

  private func read(_ dataset: IndexedDataset, _ range: Range<Int>) -> [Int32] {
    [Int32](unsafeUninitializedCapacity: range.count) { buffer, count in
      dataset.read(range, into: UnsafeMutableBufferPointer(rebasing: buffer[..<range.count]))
      count = range.count
    }
  }

  private func write(_ documents: [[Int32]], prefix: String, as tokenType: TokenType) throws {
    let writer = try IndexedDatasetWriter(prefix: prefix, tokenType: tokenType)
    for document in documents { try document.withUnsafeBufferPointer { _ = try writer.append(document: $0) } }
    try writer.finish()
  }

  @Test(arguments: ["uint8", "int16", "uint16", "int32", "int64"])
  func readsEveryTokenType(name: String) throws {
    let dataset = try IndexedDataset(prefix: fixture("indexed/" + name))
    #expect("\(dataset.tokenType)" == name)
    #expect(dataset.tokenCount == 100)
    #expect(dataset.sequenceCount == 4)
    #expect(dataset.documentCount == 4)
    #expect(read(dataset, 0..<100) == tokens)
    #expect(read(dataset, 25..<35) == Array(tokens[25..<35]))
    #expect((0...4).map { dataset.start(ofDocument: $0) } == [0, 30, 30, 31, 100])
    #expect([0, 29, 30, 31, 99].map { dataset.document(containing: $0) } == [0, 0, 2, 3, 3])
  }

  @Test func readsDocumentsOfSeveralSequences() throws {
    let dataset = try IndexedDataset(prefix: fixture("indexed/grouped"))
    #expect(dataset.sequenceCount == 3)
    #expect((0...2).map { dataset.start(ofDocument: $0) } == [0, 40, 100])
    #expect(read(dataset, 0..<100) == tokens)
  }

  @Test(arguments: [TokenType.uint8, .int16, .uint16, .int32, .int64])
  func writesTheSameBytes(tokenType: TokenType) throws {
    try withTemporaryFolder { folder in
      let prefix = folder + "/out"
      try write(
        [Array(tokens[..<30]), [], Array(tokens[30..<31]), Array(tokens[31...])], prefix: prefix, as: tokenType)
      for part in [".bin", ".idx"] {
        #expect(try readBytes(prefix + part) == readBytes(fixture("indexed/\(tokenType)" + part)))
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["out.bin", "out.idx"])
    }
  }

  @Test func writesAnEmptyDataset() throws {
    try withTemporaryFolder { folder in
      try write([], prefix: folder + "/out", as: .int32)
      #expect(try readBytes(folder + "/out.idx") == readBytes(fixture("indexed/empty.idx")))
      #expect(try IndexedDataset(prefix: folder + "/out").tokenCount == 0)
    }
  }

  @Test func leavesNothingWithoutFinish() throws {
    try withTemporaryFolder { folder in
      do { _ = try IndexedDatasetWriter(prefix: folder + "/out", tokenType: .uint16) }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
      expectBadInput("cannot write", "/absent/out.bin") {
        try IndexedDatasetWriter(prefix: folder + "/absent/out", tokenType: .uint16)
      }
    }
  }

  @Test func choosesTokenTypeAsMegatronDoes() {
    #expect(TokenType.smallest(forVocabularySize: 65_499) == .uint16)
    #expect(TokenType.smallest(forVocabularySize: 65_500) == .int32)
  }

  @Test func findsTokensOutsideVocabulary() throws {
    for name in ["uint8", "int16", "uint16", "int32", "int64"] {
      let dataset = try IndexedDataset(prefix: fixture("indexed/" + name))
      #expect(dataset.firstToken(outsideVocabulary: 120, in: 0..<100) == nil)
      let first = try #require(tokens.firstIndex { $0 >= 100 })
      let found = try #require(dataset.firstToken(outsideVocabulary: 100, in: 0..<100))
      #expect(found == (first, Int(tokens[first])))
      let next = try #require(dataset.firstToken(outsideVocabulary: 100, in: first + 1..<100))
      #expect(next.position > first)
    }
    try withTemporaryFolder { folder in
      var many = [Int32](repeating: 5, count: 200_000)
      many[150_001] = -1
      try write([many], prefix: folder + "/negative", as: .int32)
      let found = try IndexedDataset(prefix: folder + "/negative").firstToken(
        outsideVocabulary: 1_000_000, in: 0..<200_000)
      #expect(try #require(found) == (150_001, -1))
    }
  }

  // MARK: Damage

  /// Copies a fixture, changes the bytes of one of its files and opens it.
  private func open(
    _ name: String, changing part: String, _ change: (inout [UInt8]) throws -> Void
  ) throws -> IndexedDataset {
    try withTemporaryFolder { folder in
      for copied in [".bin", ".idx"] {
        var bytes = try readBytes(fixture("indexed/" + name + copied))
        if copied == part { try change(&bytes) }
        try writeBytes(bytes, to: folder + "/data" + copied)
      }
      return try IndexedDataset(prefix: folder + "/data")
    }
  }

  @Test func reportsMissingFiles() throws {
    expectBadInput("/nowhere/data.idx") { try IndexedDataset(prefix: "/nowhere/data") }
    try withTemporaryFolder { folder in
      try writeBytes(readBytes(fixture("indexed/int32.idx")), to: folder + "/data.idx")
      expectBadInput(folder + "/data.bin") { try IndexedDataset(prefix: folder + "/data") }
    }
  }

  @Test func reportsTruncatedData() {
    expectBadInput("data.bin", "399 bytes", "100 tokens of type int32", "truncated") {
      try open("int32", changing: ".bin") { $0.removeLast() }
    }
    expectBadInput("data.bin", "404 bytes") {
      try open("int32", changing: ".bin") { $0 += [0, 0, 0, 0] }
    }
  }

  @Test func reportsIndexOfAnotherType() throws {
    // The whole index of the same tokens in another type, then only its type code.
    let other = try readBytes(fixture("indexed/uint16.idx"))
    expectBadInput("data.bin", "400 bytes", "200 bytes") { try open("int32", changing: ".idx") { $0 = other } }
    expectBadInput("data.idx", "contradicts itself", "uint16") { try open("int32", changing: ".idx") { $0[17] = 8 } }
    expectBadInput("float32.idx", "code 7") { try IndexedDataset(prefix: fixture("indexed/float32")) }
    expectBadInput("data.idx", "code 99") { try open("int32", changing: ".idx") { $0[17] = 99 } }
  }

  @Test func reportsDamagedIndex() throws {
    expectBadInput("data.idx", "not the index") { try open("int32", changing: ".idx") { $0[0] = 0 } }
    expectBadInput("data.idx", "not the index") { try open("int32", changing: ".idx") { $0 = [] } }
    expectBadInput("data.idx", "version 2") { try open("int32", changing: ".idx") { $0[9] = 2 } }
    expectBadInput("data.idx", "truncated") { try open("int32", changing: ".idx") { $0.removeLast() } }
    expectBadInput("data.idx", "sequences") { try open("int32", changing: ".idx") { $0[25] = 0xFF } }
    // The last document index, which should be the number of sequences.
    let last = try readBytes(fixture("indexed/int32.idx")).count - 8
    expectBadInput("data.idx", "document ind") { try open("int32", changing: ".idx") { $0[last] = 3 } }
    expectBadInput("data.idx", "document index 4") { try open("int32", changing: ".idx") { $0[last] = 9 } }
    expectBadInput("data.idx", "document index 0") { try open("int32", changing: ".idx") { $0[last - 32] = 1 } }
  }
}
