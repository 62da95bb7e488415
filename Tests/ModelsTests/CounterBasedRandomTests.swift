import Foundation
import Models
import Testing

struct CounterBasedRandomTests {
  /// `philox4x32 10` of Random123's known-answer file (kat_vectors): four counter words, two key words, four results.
  @Test(arguments: [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
  ])
  func knownAnswers(counter: String, key: String, expected: String) {
    func words(_ text: String) -> [UInt64] { text.split(separator: " ").compactMap { UInt64($0, radix: 16) } }
    let (counter, key) = (words(counter), words(key))
    let random = CounterBasedRandom(seed: key[1] << 32 | key[0], stream: counter[3] << 32 | counter[2])
    let bits = random.bits(counter[1] << 32 | counter[0])
    #expect([bits.0, bits.1, bits.2, bits.3].map(UInt64.init) == words(expected))
  }

  @Test func uniformNumbersAreInsideTheUnitInterval() {
    let random = CounterBasedRandom(seed: 1, stream: 2)
    let values = (0..<20_000).map { random.uniform(UInt64($0)) }
    #expect(values.allSatisfy { $0 > 0 && $0 < 1 })
    let mean = values.reduce(0, +) / 20_000
    #expect(abs(mean - 0.5) < 4 * 0.289 / 141)
  }

  @Test func normalNumbersHaveTheirMoments() {
    let random = CounterBasedRandom(seed: 5, stream: 0)
    let pairs = (0..<10_000).map { random.normals(UInt64($0)) }
    let values = pairs.flatMap { [$0.0, $0.1] }
    let moment = { (power: Double) in values.reduce(0) { $0 + pow($1, power) } / Double(values.count) }
    #expect(abs(moment(1)) < 4 / 141.4)
    #expect(abs(moment(2) - 1) < 4 * 2.0.squareRoot() / 141.4)
    #expect(abs(moment(4) - 3) < 4 * 96.0.squareRoot() / 141.4)
    #expect(abs(pairs.reduce(0) { $0 + $1.0 * $1.1 }) / 10_000 < 4 / 100, "the two are independent")
  }
}
