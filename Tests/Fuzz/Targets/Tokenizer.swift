import Foundation
import Tokenizers

/// A `tokenizer.json` and, behind a NUL, a `tokenizer_config.json`, read and used on a little text.
func fuzzTokenizer(_ bytes: UnsafeRawBufferPointer) throws {
  let parts = bytes.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
  let tokenizer = try Tokenizer(json: Data(parts[0]), configuration: parts.count > 1 ? Data(parts[1]) : nil)
  let text = "<s>ab  ab, the  cafe\u{301} İ ﬁ ## 12345 don't\n\n\tx</s>"
  for parse in [true, false] {
    let ids = try tokenizer.encode(text, addBeginOfSequence: true, parseSpecialTokens: parse)
    _ = tokenizer.decode(ids, skipSpecialTokens: parse)
  }
  _ = try tokenizer.encode([0xFF, 0x61, 0xCC, 0x81, 0x00] + Array(repeating: 0x62, count: 70))
}
