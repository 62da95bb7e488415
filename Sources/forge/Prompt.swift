import Diagnostics
import Tokenizers

/// The tokens of a prompt.
enum Prompt {
  /// A text to be continued: `<s>` text.
  ///
  /// - Throws: `ForgeError.badInput` when the tokenizer cannot write it.
  static func plain(_ text: String, _ tokenizer: Tokenizer) throws -> [Int32] {
    try tokenizer.encode(text, addBeginOfSequence: true)
  }

  /// An instruction in Mistral's chat format: `<s>[INST]` text `[/INST]`.
  ///
  /// - Throws: `ForgeError.badInput` when the tokenizer has no such tokens or cannot write the text.
  static func instruction(_ text: String, _ tokenizer: Tokenizer) throws -> [Int32] {
    guard let open = tokenizer.specialToken("[INST]"), let close = tokenizer.specialToken("[/INST]") else {
      throw ForgeError.badInput("--chat needs a tokenizer with the special tokens [INST] and [/INST]")
    }
    return try [tokenizer.beginOfSequence].compactMap { $0 } + [open] + tokenizer.encode(text) + [close]
  }
}
