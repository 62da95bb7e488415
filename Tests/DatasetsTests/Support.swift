import Batches
import Formats
import Foundation
import Support
import Testing

@testable import Datasets

/// Runs `body` with a fresh folder that is removed afterwards.
func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("forge-" + UUID().uuidString).path
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  return try body(folder)
}

/// Writes a `.bin/.idx` pair.
func write(_ documents: [[Int32]], prefix: String, as tokenType: TokenType = .uint16) throws {
  let writer = try IndexedDatasetWriter(prefix: prefix, tokenType: tokenType)
  for document in documents { try document.withUnsafeBufferPointer { _ = try writer.append(document: $0) } }
  try writer.finish()
}

/// Expects a `badInput` whose sentence contains every one of `parts`.
func expectBadInput<Result>(
  _ parts: String..., sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Result
) {
  do {
    _ = try body()
    Issue.record("no error was thrown", sourceLocation: sourceLocation)
  } catch let error as ForgeError {
    #expect(error.exitCode == 64, sourceLocation: sourceLocation)
    for part in parts {
      #expect(error.description.contains(part), "\(error.description)", sourceLocation: sourceLocation)
    }
  } catch {
    Issue.record("\(error)", sourceLocation: sourceLocation)
  }
}

/// One sequence as arrays.
struct Sequence: Equatable {
  var tokens: [Int32]
  var documentStarts: [Int32]
  var positions: [Int32]
  var lossWeights: [Float]

  /// - Parameter read: fills in the second of three sequences of a batch; the others have to stay as they are.
  init(length: Int, read: (TokenBatch, _ sequence: Int) -> Void) {
    let batch = TokenBatch(sequences: 3, length: length)
    read(batch, 1)
    let rows = batch.packing.tokens(of: 1)
    tokens = batch.inputs[rows].array() + [batch.targets[rows.upperBound - 1]]
    documentStarts = batch.documentStarts[rows].array()
    positions = batch.positions[rows].array()
    lossWeights = batch.lossWeights[rows].array()
    #expect(batch.targets[rows].array() == Array(tokens.dropFirst()))
    for other in [0, 2] {
      let rows = batch.packing.tokens(of: other)
      #expect(
        batch.inputs[rows].array().allSatisfy { $0 == 0 } && batch.lossWeights[rows].array().allSatisfy { $0 == 0 })
    }
  }
}

extension TrainingData {
  func sequence(_ index: Int) -> Sequence {
    Sequence(length: sequenceLength) { read(index, into: $0, sequence: $1) }
  }
}

extension ValidationData {
  func sequence(_ index: Int) -> Sequence {
    Sequence(length: sequenceLength) { read(index, into: $0, sequence: $1) }
  }
}
