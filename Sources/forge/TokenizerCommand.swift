import ArgumentParser
import Diagnostics
import Foundation
import Tokenizers

struct TokenizerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenizer",
    abstract: "Train a byte-level BPE tokenizer, and turn text into token ids and back.",
    discussion: """
      A tokenizer is a folder with a Hugging Face tokenizer.json: one trained here loads in
      transformers.AutoTokenizer, and those of Llama 3, Qwen and GPT-2 work here.

      EXAMPLES
        forge tokenizer train --input docs --output tok --vocabulary-size 32768
        echo 'Hello, world' | forge tokenizer encode --tokenizer tok
        forge tokenizer encode --tokenizer tok --input a.txt b.txt > ids.jsonl
        forge tokenizer decode --tokenizer tok < ids.jsonl
      """,
    subcommands: [Train.self, Encode.self, Decode.self])
}

extension SplitPattern: ExpressibleByArgument {}

extension TokenizerCommand {
  /// The bytes of a file or a pipe; of standard input for `-`.
  ///
  /// - Throws: `ForgeError.badInput` when it cannot be read.
  static func readFile(_ path: String) throws -> [UInt8] {
    if path == "-" { return try readStandardInput() }
    let descriptor = open(PathBytes.cString(of: path), O_RDONLY | O_CLOEXEC)
    let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    guard descriptor >= 0, let data = try? file.readToEnd() ?? Data() else {
      throw ForgeError.badInput(
        "cannot read \(PathBytes.display(path)): check that it is a file and that you may read it")
    }
    return [UInt8](data)
  }

  static func readStandardInput() throws -> [UInt8] {
    [UInt8](try FileHandle.standardInput.readToEnd() ?? Data())
  }

  static func writeStandardOutput(_ data: Data) throws {
    try FileHandle.standardOutput.write(contentsOf: data)
  }
}
