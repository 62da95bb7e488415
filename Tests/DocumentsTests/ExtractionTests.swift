import Foundation
import Testing

@testable import Documents

@Suite struct ExtractionTests {
  private func text(_ bytes: [UInt8], _ name: String) throws -> [UInt8] { try Extraction.text(of: bytes, name: name) }

  private func skipReason(_ bytes: [UInt8], _ name: String) -> SkipReason? {
    do throws(Extraction.Skipped) {
      _ = try Extraction.text(of: bytes, name: name)
      return nil
    } catch {
      return error.reason
    }
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
    #expect(try text([0x61, 0xFF, 0xC3, 0x28], "a.txt") == [0x61, 0xFF, 0xC3, 0x28])
  }

  @Test func knowsHTMLByItsNameOrItsStart() throws {
    let page = Array("\n<!DOCTYPE HTML><p>x".utf8)
    for name in ["a.html", "a.htm", "a.en.xhtml", "page"] { #expect(try text(page, name) == Array("x\n".utf8)) }
    #expect(try text(page, "a.md") == page)
  }

  @Test func decompresses() throws {
    #expect(try text(gzipped, "a.txt.gz") == Array("first, second\n".utf8))
    #expect(try text(gzipped + [0, 0, 0], "a.gz") == Array("first, second\n".utf8))
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

  @Test func identifiesByContents() {
    // FIPS 180-2, appendix B.1.
    #expect(
      DocumentID(of: Array("abc".utf8)).description
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  }

  @Test func holdsOutItsShare() {
    let ids = (0..<2000).map { DocumentID(of: Array("document \($0)".utf8)) }
    // A standard deviation is 9.7.
    #expect((55...145).contains(ids.count { $0.isHeldOut(share: 0.05) }))
    #expect(ids.allSatisfy { !$0.isHeldOut(share: 0) })
    #expect(ids.allSatisfy { !$0.isHeldOut(share: 0.05) || $0.isHeldOut(share: 0.1) })
  }
}
