import Testing

@testable import Kernels

@Suite struct FingerprintTests {
  private func filled(_ count: Int) -> Arena<Float> {
    let arena = Arena<Float>(count: count)
    for index in 0..<count { arena.buffer[index] = Float(index % 977) * 0.37 - 100 }
    return arena
  }

  @Test(arguments: [0, 1, 15, 16, 17, 65535, 65536, 200_003]) func threadsLeaveNoTrace(count: Int) {
    let arena = filled(count)
    let prints = [1, 2, 3].map { Backend(threads: $0).fingerprint(arena.buffer) }
    #expect(Set(prints).count == 1)
  }

  @Test func everyBitCounts() {
    let count = 70_001
    let arena = filled(count)
    let backend = Backend(threads: 2)
    let before = backend.fingerprint(arena.buffer)
    for index in [0, 1, 16, 4097, 65535, 65536, 70_000] {
      for bit in stride(from: 0, to: 32, by: 5) {
        let value = arena.buffer[index]
        arena.buffer[index] = Float(bitPattern: value.bitPattern ^ (1 << bit))
        #expect(backend.fingerprint(arena.buffer) != before)
        arena.buffer[index] = value
      }
    }
    #expect(backend.fingerprint(arena.buffer) == before)
  }

  @Test func placesCount() {
    let arena = filled(70_001)
    let backend = Backend(threads: 1)
    let before = backend.fingerprint(arena.buffer)
    for (first, second) in [(0, 16), (3, 4), (100, 65_636)] {
      let (a, b) = (arena.buffer[first], arena.buffer[second])
      (arena.buffer[first], arena.buffer[second]) = (b, a)
      #expect(a == b || backend.fingerprint(arena.buffer) != before)
      (arena.buffer[first], arena.buffer[second]) = (a, b)
    }
  }
}
