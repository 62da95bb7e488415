import Datasets
import Formats
import Foundation
import Testing
import Tokenizers

@testable import DocumentText
@testable import Corpus

@Suite struct DataPreparationTests {
  private static let files: [String: [UInt8]] = {
    var files = (0..<40).reduce(into: [String: [UInt8]]()) { files, number in
      files["src/module\(number % 4)/file\(number).txt"] = Array("The file number \(number).\n".utf8)
    }
    files["page.html"] = Array("<p>The page".utf8)
    files["copy.html"] = Array("<h1>The page</h1>".utf8)
    files["invalid.txt"] = [0x54, 0xFF, 0xFE, 0x80]
    files["stray.txt"] = Array(String(repeating: "é", count: 1000).utf8) + [0xFF]
    files["binary"] = [1, 0, 2]
    files["blank.txt"] = [0x0A]
    return files
  }()

  /// Makes a corpus and a tokenizer below a folder, and a `DataPreparation` of them into `folder/data`.
  private func preparation(in folder: String, heldOut: Double = 0.25, threads: Int = 2) throws -> DataPreparation {
    try write(Self.files, below: folder + "/docs")
    var trainer = try TokenizerTrainer(options: TrainingOptions(vocabularySize: 300))
    for text in try Documents.texts(at: [folder + "/docs"]) { trainer.add(text) }
    try trainer.finish().write(toFolder: folder + "/tokenizer")
    return DataPreparation(
      inputs: [folder + "/docs"], output: folder + "/data", tokenizer: folder + "/tokenizer", heldOut: heldOut,
      threads: threads)
  }

  private func records(_ folder: String) throws -> [DocumentRecord] {
    try readText(folder + "/documents.jsonl").split(separator: "\n").map {
      try JSONDecoder().decode(DocumentRecord.self, from: Data($0.utf8))
    }
  }

  @Test func writesEveryDocumentOnce() throws {
    try withTemporaryFolder { folder in
      let result = try preparation(in: folder).run().dataset
      #expect(result.duplicates == 1 && result.replacements == 1)
      #expect(result.skipped == [.binary: 1, .empty: 1, .encoding: 1])
      #expect(result.train.documents + result.validation.documents == 42)
      #expect((2...20).contains(result.validation.documents))
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: folder + "/data").sorted() == [
          "dataset.json", "documents.jsonl", "skipped.jsonl", "tokenizer", "train.bin", "train.digest.json",
          "train.idx",
          "validation.bin", "validation.digest.json", "validation.idx",
        ])

      let tokenizer = try Tokenizer(contentsOf: folder + "/tokenizer")
      let parts = try ["train", "validation"].map { try IndexedDataset(prefix: folder + "/data/" + $0) }
      #expect(parts.allSatisfy { $0.tokenType == .uint16 })
      let records = try records(folder + "/data")
      #expect(records.map(\.path) == records.map(\.path).sorted())
      var texts: [String: [UInt8]] = [:]
      for record in records {
        let part = parts[record.split == "train" ? 0 : 1]
        var tokens = [Int32](repeating: 0, count: record.tokens[1] - record.tokens[0])
        tokens.withUnsafeMutableBufferPointer { part.read(record.tokens[0]..<record.tokens[1], into: $0) }
        #expect(part.start(ofDocument: part.document(containing: record.tokens[0])) == record.tokens[0])
        #expect(tokens.first == tokenizer.beginOfSequence && tokens.last == tokenizer.endOfSequence)
        let text = tokenizer.decode(tokens)
        #expect(DocumentID(of: text).description == record.id)
        #expect(text.count == record.bytes)
        texts[String(record.path.dropFirst(folder.count + 6))] = text
      }
      #expect(texts["invalid.txt"] == nil)
      #expect(texts["stray.txt"]?.suffix(5) == Array("é\u{FFFD}".utf8)[...])
      #expect(texts["copy.html"] == Array("The page\n".utf8))
      #expect(texts["page.html"] == nil)
      #expect(texts["src/module3/file7.txt"] == Self.files["src/module3/file7.txt"])
      #expect(parts[0].tokenCount == result.train.tokens && parts[1].tokenCount == result.validation.tokens)
    }
  }

  @Test func writesTheSameBytesWithAnyNumberOfThreads() throws {
    try withTemporaryFolder { folder in
      var preparation = try preparation(in: folder, threads: 1)
      _ = try preparation.run()
      preparation.output = folder + "/data5"
      preparation.threads = 5
      _ = try preparation.run()
      for name in try FileManager.default.contentsOfDirectory(atPath: folder + "/data") where name != "tokenizer" {
        #expect(try readText(folder + "/data/" + name) == readText(folder + "/data5/" + name))
      }
    }
  }

  @Test func replacesOnlyWhenTold() throws {
    try withTemporaryFolder { folder in
      var preparation = try preparation(in: folder)
      try write(["notes.txt": "mine"], below: folder + "/data")
      expectBadInput("'\(folder)/data' is not empty", "--overwrite") { try preparation.run() }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/data") == ["notes.txt"])
      preparation.overwrite = true
      _ = try preparation.run()
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/data").count == 11)
      #expect(try readText(folder + "/data/notes.txt") == "mine")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["data", "docs", "tokenizer"])
    }
  }

  @Test func doesNotReadItsOwnOutput() throws {
    try withTemporaryFolder { folder in
      var preparation = try preparation(in: folder)
      preparation.output = folder + "/docs/data"
      let first = try preparation.run()
      preparation.overwrite = true
      let second = try preparation.run()
      #expect(first.dataset.train == second.dataset.train && first.dataset.validation == second.dataset.validation)
    }
  }

  @Test func reportsBadInputAndLeavesNothing() throws {
    try withTemporaryFolder { folder in
      let good = try preparation(in: folder)
      func expectFailure(_ part: String, _ change: (inout DataPreparation) -> Void) throws {
        var bad = good
        change(&bad)
        expectBadInput(part) { try bad.run() }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["docs", "empty", "tokenizer"])
      }
      try FileManager.default.createDirectory(atPath: folder + "/empty", withIntermediateDirectories: true)
      try expectFailure("no document in '\(folder)/empty'") { $0.inputs = [folder + "/empty"] }
      try expectFailure("\(folder)/absent") { $0.inputs.append(folder + "/absent") }
      try expectFailure("\(folder)/absent") { $0.tokenizer = folder + "/absent" }
      try expectFailure("held-out share") { $0.heldOut = 1 }
      try expectFailure("from 1 to 1024") { $0.threads = 0 }
      try expectFailure("is not a folder") { $0.output = folder + "/docs/binary" }
      try expectFailure("cannot write") { $0.output = folder + "/docs/binary/below" }
    }
  }
}
