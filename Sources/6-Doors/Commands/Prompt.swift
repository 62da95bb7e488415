import Support
import Tokenizers

/// Reads and encodes prompts.
enum Prompt {
  /// Encodes a text to be continued: `<s>` text.
  ///
  /// - Throws: `ForgeError.badInput` when the tokenizer cannot encode it.
  static func plain(_ text: [UInt8], _ tokenizer: Tokenizer) throws -> [Int32] {
    try [tokenizer.beginOfSequence].compactMap { $0 } + tokenizer.encode(text, named: "the prompt")
  }

  /// Reads a file, or standard input for `-`, as UTF-8, without a byte order mark and one line break at the end.
  ///
  /// - Throws: `ForgeError.badInput` when it cannot be read.
  static func read(_ path: String) throws -> [UInt8] {
    var text = try InputFile.text(path)
    if text.last == UInt8(ascii: "\n") { text.removeLast(text.suffix(2) == Array("\r\n".utf8)[...] ? 2 : 1) }
    return text
  }

  /// Encodes an instruction in Mistral's chat format: `<s>[INST]` text `[/INST]`.
  ///
  /// - Throws: `ForgeError.badInput` when the tokenizer lacks these special tokens or cannot encode the text.
  static func instruction(_ text: [UInt8], _ tokenizer: Tokenizer) throws -> [Int32] {
    guard let open = tokenizer.specialToken("[INST]"), let close = tokenizer.specialToken("[/INST]") else {
      throw ForgeError.badInput(
        "--chat needs a tokenizer with the special tokens [INST] and [/INST]", code: .invalidArgument)
    }
    return try [tokenizer.beginOfSequence].compactMap { $0 } + [open] + tokenizer.encode(text, named: "the prompt")
      + [close]
  }
}
