import Foundation
import Support

/// Token sequences from a JSON Lines file, one `{"ids":[…]}` per line.
struct TokenLines {
  let sequences: [[Int32]]

  /// Reads and validates a file.
  ///
  /// - Throws: `ForgeError.badInput`, with file and line, for JSON that is not such an object, an id outside
  ///   `0..<vocabularySize`, fewer than two ids, or more than `positions`; and for a file without sequences.
  init(path: String, vocabularySize: Int, positions: Int) throws {
    struct Line: Decodable { var ids: [Int] }
    let decoder = JSONDecoder()
    var sequences: [[Int32]] = []
    let lines = try InputFile.text(path).split(
      separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for (index, bytes) in lines.enumerated()
    where !bytes.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") }) {
      let place = "\(path):\(index + 1)"
      guard let line = try? decoder.decode(Line.self, from: Data(bytes)) else {
        throw ForgeError.badInput(
          "\(place): not a JSON object with a list of whole numbers named 'ids'", code: .malformedFile)
      }
      guard line.ids.count >= 2 else {
        throw ForgeError.badInput("\(place): has \(line.ids.count) ids; a score needs at least 2", code: .emptyInput)
      }
      guard line.ids.count <= positions else {
        throw ForgeError.badInput(
          "\(place): has \(line.ids.count) ids, more than the \(positions) positions of the model", code: .tooLong)
      }
      if let id = line.ids.first(where: { $0 < 0 || $0 >= vocabularySize }) {
        throw ForgeError.badInput(
          "\(place): id \(id) is outside the model's vocabulary of \(vocabularySize)", code: .tokenizerMismatch)
      }
      sequences.append(line.ids.map(Int32.init))
    }
    guard !sequences.isEmpty else {
      throw ForgeError.badInput("\(path): there is nothing to score in it", code: .emptyInput)
    }
    self.sequences = sequences
  }
}
