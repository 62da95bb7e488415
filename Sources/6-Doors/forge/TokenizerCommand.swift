import ArgumentParser
import Foundation
import Support
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
  /// The bytes of a file or a pipe; `-` is standard input.
  ///
  /// - Throws: `ForgeError.badInput` when it cannot be read.
  static func readFile(_ path: String) throws -> [UInt8] {
    if path == "-" { return try readStandardInput() }
    guard let file = fopen(PathBytes.cString(of: path), "r") else { throw unreadable(path, errno) }
    defer { fclose(file) }
    var status = stat()
    var bytes: [UInt8] = []
    if fstat(fileno(file), &status) == 0 { bytes.reserveCapacity(Int(status.st_size)) }
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
    guard ferror(file) == 0 else { throw unreadable(path, errno) }
    return bytes
  }

  /// A file of text as UTF-8, or standard input for `-`: UTF-16 by its byte order mark is converted, and the mark left out.
  ///
  /// - Throws: `ForgeError.badInput` when it cannot be read, or is damaged UTF-16.
  static func readText(_ path: String) throws -> [UInt8] {
    guard let text = MarkedText.utf8(try readFile(path)) else {
      throw ForgeError.badInput("\(name(of: path)) begins as UTF-16 and is damaged: save it as UTF-8")
    }
    return text
  }

  /// What an input is called in messages.
  static func name(of path: String) -> String { path == "-" ? "standard input" : PathBytes.display(path) }

  private static func unreadable(_ path: String, _ code: Int32) -> ForgeError {
    .badInput("cannot read \(PathBytes.display(path)): \(String(cString: strerror(code)))")
  }

  static func readStandardInput() throws -> [UInt8] {
    [UInt8](try FileHandle.standardInput.readToEnd() ?? Data())
  }

  static func writeStandardOutput(_ data: Data) throws {
    try FileHandle.standardOutput.write(contentsOf: data)
  }
}
