import Foundation
import Testing

@testable import DocumentText

@Suite struct TextExtractorTests {
  private func text(_ bytes: [UInt8], _ name: String, encoding: String? = nil) throws -> [UInt8] {
    let extractor = TextExtractor(encoding: encoding.flatMap { TextEncoding(label: $0) })
    let documents = extractor.documents(in: bytes, name: name)
    try #require(documents.count == 1)
    return try documents[0].result.get().bytes
  }

  private func skipReason(_ bytes: [UInt8], _ name: String) -> SkipReason? {
    guard case .failure(let reason)? = TextExtractor().documents(in: bytes, name: name).first?.result else {
      return nil
    }
    return reason
  }

  /// Two members, "first, " and "second\n", made by Python's gzip.
  private var gzipped: [UInt8] {
    get throws {
      let text = "H4sIAAAAAAACA0vLLCou0VEAAATPzvEHAAAAH4sIAAAAAAACAytOTc7PS+ECAH7ADwYHAAAA"
      return [UInt8](try #require(Data(base64Encoded: text)))
    }
  }

  @Test func keepsTextAsItIs() throws {
    for name in ["a.txt", "a.md", "a.rst", "a.swift", "makefile", "a.xml"] {
      #expect(try text(Array("<a>\r\n\tb".utf8), name) == Array("<a>\r\n\tb".utf8))
    }
    #expect(skipReason([0x61, 0xFF, 0xC3, 0x28], "a.txt") == .encoding)
    #expect(try text([0x61, 0xFF, 0xC3, 0x28], "a.txt", encoding: "latin1") == Array("aÿÃ(".utf8))
  }

  @Test func knowsHTMLByItsNameOrItsStart() throws {
    let page = Array("\n<!DOCTYPE HTML><p>x".utf8)
    for name in ["a.html", "a.htm", "a.en.xhtml", "page"] { #expect(try text(page, name) == Array("x\n".utf8)) }
    #expect(try text(page, "a.md") == page)
  }

  @Test func decompresses() throws {
    #expect(try text(gzipped, "a.txt.gz") == Array("first, second\n".utf8))
    #expect(try text(gzipped + [0, 0, 0], "a.gz") == Array("first, second\n".utf8))
    #expect(try text(gzipped, "no-name") == Array("first, second\n".utf8))
    #expect(skipReason(try gzipped.dropLast(), "a.gz") == .damaged)
    var changed = try gzipped
    changed[14] ^= 0xFF
    #expect(skipReason(changed, "a.gz") == .damaged)
    #expect(throws: Gzip.Failure.tooLarge) { try Gzip.decompress(gzipped, maximumByteCount: 13) }
  }

  @Test func skipsBinaryData() {
    #expect(skipReason([0x61, 0, 0x62], "a.txt") == .binary)
    var state: UInt32 = 1
    let noise = (0..<1000).map { _ in
      state = state &* 1_664_525 &+ 1_013_904_223
      return max(1, UInt8(state >> 24))
    }
    #expect(skipReason(noise, "a") == .binary)
    #expect(skipReason(Array("\u{1B}[1mlog\u{1B}[0m b\u{8}bold".utf8), "a.log") == nil)
  }

  @Test func readsLinesOfJSON() throws {
    let lines = #"""
      {"text": "a\u0062\ud83d\ude00 \ud800", "n": [1, {"text": 2}]}
      {"other": null}

      {"text": ""}
      not JSON
      """#
    let documents = TextExtractor().documents(in: Array(lines.utf8), name: "a.jsonl")
    #expect(documents.map(\.line) == [1, 2, 4, 5])
    #expect(try documents[0].result.get().bytes == Array("ab😀 \u{FFFD}".utf8))
    let reasons = documents.dropFirst().map {
      if case .failure(let reason) = $0.result { reason } else { SkipReason.binary }
    }
    #expect(reasons == [.noText, .empty, .damaged])
  }
}
