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

  private func utf16(_ text: String, bigEndian: Bool = false, mark: Bool = false) -> [UInt8] {
    ((mark ? [0xFEFF] : []) + Array(text.utf16)).flatMap { unit -> [UInt8] in
      let bytes = [UInt8(unit & 0xFF), UInt8(unit >> 8)]
      return bigEndian ? bytes.reversed() : bytes
    }
  }

  /// The result for each item: its text, or the skip reason.
  private func outcomes(_ bytes: [UInt8], _ name: String, encoding: String? = nil) -> [String] {
    let extractor = TextExtractor(encoding: encoding.flatMap { TextEncoding(label: $0) })
    return extractor.documents(in: bytes, name: name).map { item in
      let place = item.line.map { "\($0): " } ?? ""
      switch item.result {
      case .success(let text):
        let cost = text.replacements > 0 ? " (\(text.replacements))" : ""
        return place + String(decoding: text.bytes, as: UTF8.self) + cost
      case .failure(let reason): return place + reason.rawValue
      }
    }
  }

  @Test func readsLinesOfJSONInAnyEncoding() {
    let lines = "{\"text\":\"läuft\"}\n{\"text\":\"zwei\"}\n"
    for bigEndian in [false, true] {
      #expect(outcomes(utf16(lines, bigEndian: bigEndian, mark: true), "a.jsonl") == ["1: läuft", "2: zwei"])
    }
    #expect(outcomes(utf16(lines), "a.ndjson", encoding: "utf-16le") == ["1: läuft", "2: zwei"])
    let latin = lines.unicodeScalars.map { UInt8($0.value) }
    #expect(outcomes(latin, "a.jsonl") == ["1: encoding", "2: zwei"])
    #expect(outcomes(latin, "a.jsonl", encoding: "latin1") == ["1: läuft", "2: zwei"])
    let long = String(repeating: "é", count: 600)
    let stray = Array("{\"text\":\"\(long)".utf8) + [0xFF] + Array("\"}".utf8)
    #expect(outcomes(stray, "a.jsonl") == ["1: \(long)\u{FFFD} (1)"])
    #expect(outcomes(Array("{\"text\":\"\u{FEFF}a\"}\n{\"text\":\"\\ufeffb\"}".utf8), "a.jsonl") == ["1: a", "2: b"])
  }

  @Test(arguments: [
    #"{"a":tru,"text":"x"}"#, #"{"a":{]},"text":"x"}"#, #"{"a":01,"text":"x"}"#, #"{"a":1.,"text":"x"}"#,
    #"{"a":"\q","text":"x"}"#, #"{"a" "b","text":"x"}"#, #"{"a":[1,],"text":"x"}"#, #"{"a":{1:2},"text":"x"}"#,
    #"{"text":"x",}"#, #"{"text":"x"} y"#, "{\"a\":\"\t\",\"text\":\"x\"}", #"{"a":[1 2],"text":"x"}"#,
  ])
  func refusesLinesThatAreNotJSON(line: String) {
    #expect(outcomes(Array(line.utf8), "a.jsonl") == ["1: damaged"])
  }

  @Test(arguments: [
    #"{"a":[1,-0.5e+3,{"b":[]},{}],"c":null,"text":"x"}"#, #"{"a":NaN,"b":-Infinity,"text":"x"}"#,
    #"{"a":"\u00e9\"]","text":"x"}"#, #"{"text":1,"text":"x"}"#,
  ])
  func readsLinesThatAreJSON(line: String) {
    #expect(outcomes(Array(line.utf8), "a.jsonl") == ["1: x"])
  }

  @Test func readsNotebooksInAnyEncoding() {
    let notebook = #"{"nbformat":4,"metadata":{},"cells":[{"cell_type":"markdown","source":["café"]}]}"#
    let latin = notebook.unicodeScalars.map { UInt8($0.value) }
    #expect(outcomes(latin, "a.ipynb") == ["encoding"])
    #expect(outcomes(latin, "a.ipynb", encoding: "latin1") == ["café\n"])
    #expect(outcomes(utf16(notebook, mark: true), "a.ipynb") == ["café\n"])
    #expect(outcomes(Array(notebook.utf8.dropLast()), "a.ipynb") == ["damaged"])
    #expect(outcomes(Array(#"{"a":1}"#.utf8), "a.ipynb") == [#"{"a":1}"#])
  }

  @Test func readsUTF16WithoutMarkAsToldTo() {
    for (bigEndian, label) in [(false, "utf-16le"), (true, "utf-16be")] {
      #expect(outcomes(utf16("läuft", bigEndian: bigEndian), "a.txt", encoding: label) == ["läuft"])
      #expect(outcomes(utf16("漢字かな混じり", bigEndian: bigEndian), "a.txt", encoding: label) == ["漢字かな混じり"])
      #expect(outcomes(utf16("<p>läuft", bigEndian: bigEndian), "a.html", encoding: label) == ["läuft\n"])
      let declared = utf16("<?xml version='1.0'?><html><p>läuft</p></html>", bigEndian: bigEndian)
      #expect(outcomes(declared, "a.html") == ["läuft\n"])
    }
    #expect(outcomes(utf16("a\0b"), "a.txt", encoding: "utf-16le") == ["binary"])
    #expect(outcomes([0x61, 0, 0, 0xD8, 0x62, 0], "a.txt", encoding: "utf-16le") == ["binary"])
    #expect(outcomes(utf16("läuft"), "a.txt") == ["binary"])
    #expect(outcomes(Array("läuft".utf8), "a.txt", encoding: "utf-16le") == ["läuft"])
  }

  @Test(arguments: ["iso-2022-kr", "iso-2022-cn", "iso-2022-cn-ext", "hz-gb-2312", "csiso2022kr", "replacement"])
  func leavesOutPagesInDangerousEncodings(label: String) {
    #expect(outcomes(Array("<meta charset=\(label)><p>~{VPND~}".utf8), "a.html") == ["encoding"])
  }
}
