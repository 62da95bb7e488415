/// The scratch space of an encoding call, reused by the next: the word cache and the merger's buffers.
struct EncodingScratch: Sendable {
  var cache = WordCache()
  var merger = WordMerger()
}

/// BPE merging of one word: joins the pair of the lowest rank, and among equals the leftmost, until no pair has a
/// merge.
struct WordMerger: Sendable {
  /// A word longer than this is merged with a queue, in n·log n instead of n² steps.
  private static let longestScanned = 64

  /// The ids of the word, shrinking as they merge.
  private(set) var ids: [Int32] = []
  /// The merge of each id with the next one.
  private var merges: [UInt64] = []
  private var next: [Int32] = []
  private var previous: [Int32] = []
  private var queue = PriorityQueue<UInt64>()

  /// Leaves the ids of `word` in `ids`.
  ///
  /// - Parameter fusedUnlessKnown: for each byte whether it has a token of its own, when adjacent bytes without one
  ///   become one token; else empty.
  mutating func merge(
    _ word: UnsafeBufferPointer<UInt8>, byteIDs: UnsafePointer<Int32>, fusedUnlessKnown: [Bool] = [],
    lookup: MergeLookup
  ) {
    ids.removeAll(keepingCapacity: true)
    if fusedUnlessKnown.isEmpty {
      for byte in word { ids.append(byteIDs[Int(byte)]) }
    } else {
      var wasKnown = true
      for byte in word {
        let isKnown = fusedUnlessKnown[Int(byte)]
        if isKnown || wasKnown { ids.append(byteIDs[Int(byte)]) }
        wasKnown = isKnown
      }
    }
    if ids.count <= Self.longestScanned {
      mergeByScanning(lookup)
    } else {
      mergeByQueue(lookup)
    }
  }

  private mutating func mergeByScanning(_ lookup: MergeLookup) {
    merges.removeAll(keepingCapacity: true)
    for index in 0..<ids.count - 1 { merges.append(lookup.merge(ids[index], ids[index + 1])) }
    merges.append(MergeTable.absent)
    var count = ids.count
    ids.withUnsafeMutableBufferPointer { ids in
      merges.withUnsafeMutableBufferPointer { merges in
        while count > 1 {
          var best = 0
          for index in 1..<count where merges[index] < merges[best] { best = index }
          if merges[best] == MergeTable.absent { break }
          ids[best] = Int32(truncatingIfNeeded: merges[best])
          count -= 1
          // Removes the right half of the pair; everything after it moves one position to the left.
          for index in best + 1..<count {
            ids[index] = ids[index + 1]
            merges[index] = merges[index + 1]
          }
          merges[best] = best + 1 < count ? lookup.merge(ids[best], ids[best + 1]) : MergeTable.absent
          if best > 0 { merges[best - 1] = lookup.merge(ids[best - 1], ids[best]) }
        }
      }
    }
    ids.removeLast(ids.count - count)
  }

  private mutating func mergeByQueue(_ lookup: MergeLookup) {
    let count = ids.count
    next = (1...Int32(count)).map { $0 }
    previous = (-1..<Int32(count) - 1).map { $0 }
    queue.removeAll()
    for position in 0..<count - 1 { enqueue(position, lookup) }
    while let candidate = queue.pop() {
      let position = Int(candidate & 0xFFFF_FFFF)
      let right = Int(next[position])
      // A candidate is stale when its left half was absorbed or either half has changed since.
      guard ids[position] >= 0, right < count else { continue }
      let merge = lookup.merge(ids[position], ids[right])
      guard merge != MergeTable.absent, merge >> 32 == candidate >> 32 else { continue }
      ids[position] = Int32(truncatingIfNeeded: merge)
      ids[right] = -1
      next[position] = next[right]
      if Int(next[right]) < count {
        previous[Int(next[right])] = Int32(position)
        enqueue(position, lookup)
      }
      if previous[position] >= 0 { enqueue(Int(previous[position]), lookup) }
    }
    ids.removeAll { $0 < 0 }
  }

  /// Queues the merge of the id at `position` with its right neighbour, if there is one, as rank · 2³² + position.
  private mutating func enqueue(_ position: Int, _ lookup: MergeLookup) {
    let merge = lookup.merge(ids[position], ids[Int(next[position])])
    if merge != MergeTable.absent { queue.push((merge & ~0xFFFF_FFFF) | UInt64(position)) }
  }
}
