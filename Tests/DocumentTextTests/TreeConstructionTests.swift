import Foundation
import Testing

@testable import DocumentText

/// Pages whose text depends on how the HTML standard builds its tree, against html5lib; made by scripts/fixtures/html.py.
@Suite struct TreeConstructionTests {
  /// Pages with known differences, and the reasons.
  private static let different: [String: String] = [:]

  private func letters(_ bytes: [UInt8]) -> String {
    String(decoding: bytes.filter { (0x41...0x5A).contains($0 & 0xDF) }, as: UTF8.self)
  }

  @Test func textIsInTheStandardsOrder() throws {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/trees.json")
    let pages = try JSONDecoder().decode([[String]].self, from: Data(contentsOf: path))
    #expect(pages.count == 1200, "all of the fixture")
    for page in pages where Self.different[page[0]] == nil {
      let text = letters(HTMLText.text(ofUTF8: Array(page[0].utf8)))
      #expect(text == page[1], "\(page[0])")
    }
  }

  @Test func theFilterChangesNoText() throws {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/trees.json")
    for page in try JSONDecoder().decode([[String]].self, from: Data(contentsOf: path)) {
      let bytes = Array(page[0].utf8)
      #expect(HTMLText.text(ofMarkup: bytes) == HTMLText.text(ofUTF8: bytes), "\(page[0])")
    }
  }
}
