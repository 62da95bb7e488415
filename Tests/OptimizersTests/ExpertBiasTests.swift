import Kernels
import Optimizers
import Testing

struct ExpertBiasTests {
  private func updated(_ bias: [Float], experts: Range<Int>, loads: [Int], rate: Float) -> [Float] {
    let memory = Arena<Float>(count: bias.count)
    for (index, value) in bias.enumerated() { memory.buffer[index] = value }
    ExpertBias.update(memory.buffer, of: experts, loads: loads, rate: rate)
    return memory.buffer.array()
  }

  /// The mean of 3, 5, 4, 4 is 4: too few, too many, and twice just right.
  @Test func movesAgainstTheLoad() {
    #expect(updated([0, 0, 0.5, -0.5], experts: 0..<4, loads: [3, 5, 4, 4], rate: 0.25) == [0.25, -0.25, 0.5, -0.5])
    #expect(updated([1, 2], experts: 0..<2, loads: [0, 0], rate: 0.25) == [1, 2], "nothing was routed")
    #expect(updated([1, 2], experts: 0..<2, loads: [0, 9], rate: 0) == [1, 2])
    // The mean is 10/3: what is compared are whole numbers.
    #expect(updated([0, 0, 0], experts: 0..<3, loads: [3, 3, 4], rate: 1) == [1, 1, -1])
  }

  @Test func ownersUpdateTheirParts() {
    let loads = [9, 0, 4, 1, 6]
    let whole = updated([0, 1, 2, 3, 4], experts: 0..<5, loads: loads, rate: 0.001)
    let parts = [0..<2, 2..<2, 2..<5].flatMap { updated($0.map(Float.init), experts: $0, loads: loads, rate: 0.001) }
    #expect(parts == whole)
  }
}
