import Testing

@testable import Corpus

@Suite struct DocumentIDTests {
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
