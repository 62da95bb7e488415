import Batches
import Foundation
import Support
import Testing

@Suite struct BatchDigestTests {
  private func batch(sequences: Int, columns: [TokenBatch.Column] = []) -> TokenBatch {
    let batch = TokenBatch(sequences: sequences, length: 3, columns: columns)
    for sequence in 0..<sequences {
      batch.set(sequence: sequence, tokens: (0..<4).map { Int32(10 * sequence + $0) })
    }
    return batch
  }

  /// By the description, byte by byte.
  @Test func isTheHashOfTheColumnsWithNamesAndLengths() {
    func bytes<Element>(_ values: [Element]) -> [UInt8] { values.withUnsafeBytes(Array.init) }
    let columns: [(String, [UInt8])] = [
      ("inputs int32 3\n", bytes([10, 11, 12] as [Int32])), ("targets int32 3\n", bytes([11, 12, 13] as [Int32])),
      ("document_starts int32 3\n", bytes([0, 0, 0] as [Int32])), ("positions int32 3\n", bytes([0, 1, 2] as [Int32])),
      ("loss_weights float32 3\n", bytes([1, 1, 1] as [Float])),
    ]
    let text = columns.flatMap { Array($0.0.utf8) + $0.1 }
    #expect(batch(sequences: 2).digest(ofSequence: 1) == SHA256.hash(text))
  }

  @Test func dependsOnEveryColumnAndNotOnTheirOrder() {
    let one = batch(sequences: 1, columns: [.advantages, .referenceLogProbabilities])
    let other = batch(sequences: 1, columns: [.referenceLogProbabilities, .advantages])
    #expect(one.digest(ofSequence: 0) == other.digest(ofSequence: 0))
    #expect(one.digest(ofSequence: 0) != batch(sequences: 1).digest(ofSequence: 0))
    let changes: [(TokenBatch) -> Void] = [
      { $0.inputs[1] += 1 }, { $0.targets[1] += 1 }, { $0.documentStarts[1] += 1 }, { $0.positions[1] += 1 },
      { $0.lossWeights[1] = 0.5 }, { $0[.advantages][1] = 0.5 }, { $0[.referenceLogProbabilities][1] = 0.5 },
    ]
    for change in changes {
      let changed = batch(sequences: 1, columns: [.advantages, .referenceLogProbabilities])
      change(changed)
      #expect(changed.digest(ofSequence: 0) != one.digest(ofSequence: 0))
    }
  }

  @Test func aGlobalBatchIsItsSequencesInOrder() {
    let whole = batch(sequences: 3)
    let digests = (0..<3).map { whole.digest(ofSequence: $0) }
    let bytes = digests.flatMap { digest in
      stride(from: 0, to: 64, by: 2).compactMap { place in
        let digits = digest.hexadecimal.dropFirst(place).prefix(2)
        return UInt8(digits, radix: 16)
      }
    }
    #expect(TokenBatch.digest(of: digests) == SHA256.hash(Array("sequences 3\n".utf8) + bytes))
    #expect(TokenBatch.digest(of: digests) != TokenBatch.digest(of: digests.reversed()))
  }
}
