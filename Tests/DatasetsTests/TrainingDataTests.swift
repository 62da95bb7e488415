import Formats
import Foundation
import Testing

@testable import Datasets

@Suite struct TrainingDataTests {
  private func open(
    _ sources: [(String, Double)], length: Int = 4, shuffle: Bool = false, mask: Bool = false, seed: UInt64 = 1,
    vocabulary: Int = 1000
  ) throws -> TrainingData {
    try TrainingData(
      sources: sources.map { DataSource(path: $0.0, weight: $0.1) }, sequenceLength: length, shuffle: shuffle,
      documentMask: mask, seed: seed, vocabularySize: vocabulary)
  }

  @Test func readsInOrderAndWraps() throws {
    try withTemporaryFolder { folder in
      // 14 tokens hold three whole sequences of 4: the last needs token 12 as its last target.
      try write([Array(0..<9), Array(9..<14)], prefix: folder + "/a")
      let data = try open([(folder + "/a", 1)])
      #expect(data.sequencesPerEpoch == 3)
      #expect(data.tokenCount == 14)
      for (index, first) in [0, 4, 8, 0, 4].enumerated() {
        let sequence = data.sequence(index)
        #expect(sequence.tokens == (0...4).map { Int32(first + $0) })
        #expect(sequence.documentStarts == [0, 0, 0, 0])
      }
    }
  }

  @Test func lastSequenceNeedsItsLastTarget() throws {
    try withTemporaryFolder { folder in
      try write([Array(0..<8)], prefix: folder + "/a")
      try write([Array(0..<9)], prefix: folder + "/b")
      #expect(try open([(folder + "/a", 1)]).sequencesPerEpoch == 1)
      #expect(try open([(folder + "/b", 1)]).sequencesPerEpoch == 2)
    }
  }

  @Test func marksDocumentStarts() throws {
    try withTemporaryFolder { folder in
      // Documents begin at 0, 3, 4, (an empty one at) 6, 6 and 20.
      try write([3, 1, 2, 0, 14, 5].map { [Int32](repeating: 7, count: $0) }, prefix: folder + "/a")
      let data = try open([(folder + "/a", 1)], length: 8, mask: true)
      #expect(data.sequence(0).documentStarts == [0, 0, 0, 3, 4, 4, 6, 6])
      #expect(data.sequence(1).documentStarts == [0, 0, 0, 0, 0, 0, 0, 0])
      #expect(data.sequence(2).documentStarts == [0, 0, 0, 0, 4, 4, 4, 4])
      // The first token of the next document is not trained on; the last target's document is unknown.
      #expect(data.sequence(0).lossWeights == [1, 1, 0, 0, 1, 0, 1, 1])
      #expect(data.sequence(1).lossWeights == [1, 1, 1, 1, 1, 1, 1, 1])
      #expect(data.sequence(2).lossWeights == [1, 1, 1, 0, 1, 1, 1, 1])
      #expect(data.sequence(0).positions == [0, 1, 2, 0, 0, 1, 0, 1])
      #expect(try open([(folder + "/a", 1)], length: 8).sequence(0).lossWeights.allSatisfy { $0 == 1 })
    }
  }

  @Test func everyEpochHasEverySequenceInAnotherOrder() throws {
    try withTemporaryFolder { folder in
      try write([Array(0..<401)], prefix: folder + "/a")
      let data = try open([(folder + "/a", 1)], shuffle: true)
      let firsts = (0..<200).map { data.sequence($0).tokens[0] }
      let (first, second) = (firsts[..<100], firsts[100...])
      #expect(first.sorted() == second.sorted())
      #expect(first.sorted() == (0..<100).map { Int32($0 * 4) })
      #expect(Array(first) != Array(second))
      #expect(Array(first) != first.sorted())
      // Another seed gives another order, the same one the same.
      let again = try open([(folder + "/a", 1)], shuffle: true)
      #expect((0..<200).map { again.sequence($0).tokens[0] } == firsts)
      let other = try open([(folder + "/a", 1)], shuffle: true, seed: 2)
      #expect((0..<200).map { other.sequence($0).tokens[0] } != firsts)
    }
  }

  @Test func mixesSourcesByWeight() throws {
    try withTemporaryFolder { folder in
      try write([Array(0..<101)], prefix: folder + "/a")
      try write([Array(500..<581)], prefix: folder + "/b", as: .int32)
      let data = try open([(folder + "/a", 0.3), (folder + "/b", 0.1)], shuffle: true)
      #expect(data.sequencesPerEpoch == 25)
      let fromB = (0..<1024).count { data.sequence($0).tokens[0] >= 500 }
      #expect(fromB == 256)
      // Each source has epochs of its own: 256 draws of 20 sequences are 12 epochs and 16 more.
      let firsts = (0..<1024).map { data.sequence($0).tokens[0] }
      let draws = Dictionary(grouping: firsts.filter { $0 >= 500 }) { $0 }.values.map(\.count)
      #expect(draws.sorted() == [Int](repeating: 12, count: 4) + [Int](repeating: 13, count: 16))
    }
  }

  @Test func readsPreparedFolders() throws {
    try withTemporaryFolder { folder in
      try write([Array(0..<9)], prefix: folder + "/train")
      try write([Array(100..<114)], prefix: folder + "/validation")
      try write([Array(200..<209)], prefix: folder + "/other")
      let sources = [DataSource(path: folder), DataSource(path: folder + "/other")]
      #expect(try open([(folder, 1)]).sequence(0).tokens == [0, 1, 2, 3, 4])

      let heldOut = try ValidationData(
        heldOutOf: sources, sequenceLength: 4, documentMask: false, vocabularySize: 1000)
      #expect(heldOut.count == 3)
      #expect(heldOut.sequence(2).tokens == [108, 109, 110, 111, 112])
      let named = try ValidationData(sources: sources, sequenceLength: 4, documentMask: true, vocabularySize: 1000)
      #expect(named.count == 5)
      #expect(named.sequence(3) == Sequence(length: 4) { $0.set(sequence: $1, tokens: [200, 201, 202, 203, 204]) })
      // Held-out documents shorter than a sequence are nothing to validate on, which is no error.
      let long = try ValidationData(heldOutOf: sources, sequenceLength: 50, documentMask: false, vocabularySize: 1000)
      #expect(long.count == 0)
    }
  }

  @Test func reportsBadInput() throws {
    try withTemporaryFolder { folder in
      expectBadInput("no training data") { try open([]) }
      expectBadInput("there is no dataset at '\(folder)/none'") { try open([(folder + "/none", 1)]) }
      expectBadInput("there is no dataset at '\(folder)'") { try open([(folder, 1)]) }
      try write([[1, 2, 3, 4]], prefix: folder + "/short")
      expectBadInput("short.bin", "4 tokens", "5 of one sequence") { try open([(folder + "/short", 1)]) }
      try write([[1, 2, 3, 4], [5, 600, 7]], prefix: folder + "/ids")
      _ = try open([(folder + "/ids", 1)], vocabulary: 601)
      expectBadInput("ids.bin", "token id 600", "position 5", "600 entries") {
        try open([(folder + "/ids", 1)], vocabulary: 600)
      }
      try FileManager.default.removeItem(atPath: folder + "/ids.bin")
      expectBadInput("ids.bin") { try open([(folder + "/ids", 1)]) }
    }
  }

  @Test func partsOfTheCheckCoverAllTokens() throws {
    try withTemporaryFolder { folder in
      for bad in 0..<11 {
        var tokens = [Int32](repeating: 1, count: 11)
        tokens[bad] = 99
        try write([tokens], prefix: folder + "/a")
        let failures = (0..<3).count { part in
          (try? TrainingData(
            sources: [DataSource(path: folder + "/a")], sequenceLength: 4, shuffle: false, documentMask: false,
            seed: 1, vocabularySize: 50, checkingPart: part, of: 3)) == nil
        }
        #expect(failures == 1)
      }
    }
  }
}
