import ArgumentParser
import Foundation
import Support
import Tokenizers

extension TokenizerCommand {
  struct Decode: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print the text of token ids.",
      discussion: """
        Reads JSON lines {"ids":[…]} or […], and prints the bytes of each, one after another.

        EXAMPLES
          forge tokenizer decode --tokenizer tok < ids.jsonl
          echo '[1, 1024, 2]' | forge tokenizer decode --tokenizer tok --special-tokens
        """)

    @Option(help: "A folder with a tokenizer.json, or that file.")
    var tokenizer: String

    @Option(parsing: .upToNextOption, help: "Files with ids instead of standard input.")
    var input: [String] = []

    @Flag(help: "Print special tokens too.")
    var specialTokens = false

    @Flag(help: "Print a line end after each text.")
    var lines = false

    func run() throws {
      let tokenizer = try Tokenizer(contentsOf: tokenizer)
      let texts = input.isEmpty ? [try TokenizerCommand.readStandardInput()] : try input.map(TokenizerCommand.readFile)
      for text in texts {
        for (index, line) in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
        where !line.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") }) {
          let ids = try parse(line, number: index + 1)
          if let id = ids.first(where: { $0 < 0 || $0 >= tokenizer.vocabularySize }) {
            throw ForgeError.badInput(
              "line \(index + 1) has the id \(id), and this tokenizer's ids end at \(tokenizer.vocabularySize - 1)")
          }
          var bytes = tokenizer.decode(ids, skipSpecialTokens: !specialTokens)
          if lines { bytes.append(UInt8(ascii: "\n")) }
          try TokenizerCommand.writeStandardOutput(Data(bytes))
        }
      }
    }

    private func parse(_ line: ArraySlice<UInt8>, number: Int) throws -> [Int32] {
      struct Record: Decodable { var ids: [Int32] }
      let data = Data(line)
      if let ids = try? JSONDecoder().decode([Int32].self, from: data) { return ids }
      if let record = try? JSONDecoder().decode(Record.self, from: data) { return record.ids }
      throw ForgeError.badInput("line \(number) is neither a list of ids nor an object with a list named 'ids'")
    }
  }
}
