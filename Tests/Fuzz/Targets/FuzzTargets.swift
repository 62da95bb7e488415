/// The functions that are fuzzed, by the name that `scripts/fuzz` takes. Each gets any bytes, and must neither crash
/// nor take long; an error that it throws must be one sentence.
let fuzzTargets: [String: @Sendable (UnsafeRawBufferPointer) throws -> Void] = [
  "config": fuzzConfig, "html": fuzzHTML, "idx": fuzzIndex, "manifest": fuzzManifest, "safetensors": fuzzSafetensors,
  "tokenizer": fuzzTokenizer, "yaml": fuzzYAML,
]

/// What libFuzzer's entry point calls: runs the target that the environment names on one input.
@_cdecl("forge_fuzz")
public func runFuzzTarget(name: UnsafePointer<CChar>, bytes: UnsafePointer<UInt8>?, count: Int) {
  guard let target = fuzzTargets[String(cString: name)] else {
    fatalError("there is no fuzz target of that name; there are \(fuzzTargets.keys.sorted())")
  }
  do {
    try target(UnsafeRawBufferPointer(start: bytes, count: count))
  } catch {
    let sentence = String(describing: error)
    precondition(
      !sentence.isEmpty && !sentence.contains("\n"), "a refusal is one sentence, and this is none: \(sentence)")
  }
}
