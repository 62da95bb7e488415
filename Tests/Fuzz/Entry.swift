import Foundation
import Synchronization

// Linked with libFuzzer, which has `main`, by scripts/fuzz; the imports link what the targets use.

@_silgen_name("forge_fuzz")
private func forgeFuzz(_ name: UnsafePointer<CChar>, _ bytes: UnsafePointer<UInt8>?, _ count: Int)

/// Called by libFuzzer with every input that it generates.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let name = getenv("FORGE_FUZZ_TARGET") else { fatalError("FORGE_FUZZ_TARGET is not set") }
  forgeFuzz(name, bytes, count)
  return 0
}
