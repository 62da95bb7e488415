import Foundation
import Testing

@testable import Corpus

@Suite struct DocumentsTests {
  @Test func readsTextsInOrderWithoutDuplicates() throws {
    try withTemporaryFolder { folder in
      try write(
        ["a.txt": "one", "b/c.md": "two", "b/d.html": "<p>three", "e.txt": "one", "f.txt": " \n", "g.txt": "four"],
        below: folder)
      for threads in [1, 2, 7] {
        let texts = try Documents.texts(at: [folder], threads: threads).map { String(decoding: $0, as: UTF8.self) }
        #expect(texts == ["one", "two", "three\n", "four"])
      }
    }
  }

  @Test func theFirstOfManyDuplicatesStays() throws {
    try withTemporaryFolder { folder in
      let names = (0..<300).map { String($0 + 1000) }
      try write(Dictionary(uniqueKeysWithValues: names.map { ($0, "text \((Int($0) ?? 0) % 10)") }), below: folder)
      for _ in 0..<5 {
        var paths: [String] = []
        for case .document(let path, _) in try Documents.outcomes(at: [folder], threads: 8, payload: \.path.string) {
          paths.append(path)
        }
        #expect(paths == names.prefix(10).map { folder + "/" + $0 })
      }
    }
  }

  @Test func mapsInOrder() {
    let map = OrderedParallelMap(inputs: 0..<1000, threads: 5) { ordinal, input in
      if input % 97 == 0 { usleep(2000) }
      return ordinal * 1000 + input
    }
    #expect(Array(map) == (0..<1000).map { $0 * 1001 })
    let iterator = OrderedParallelMap(inputs: 0..<1, threads: 3) { _, input in input }.makeIterator()
    #expect([iterator.next(), iterator.next(), iterator.next()] == [0, nil, nil])
  }

  @Test func mapStopsWhenAbandoned() {
    let map = OrderedParallelMap(inputs: 0..<Int.max, threads: 3) { _, input in input }
    #expect(Array(map.prefix(10)) == Array(0..<10))
  }
}
