/// BPE training: learns merges from word counts by repeatedly joining the most frequent pair of adjacent tokens
/// (Sennrich et al. 2016), with the pair counts updated incrementally.
///
/// Equally frequent pairs are joined in the order of their ids, and the rest follows Hugging Face's `BpeTrainer`, so
/// that both learn the same merges.
struct MergeLearner {
  /// A pair and how often it occurred when it was queued. The most frequent comes first, then the smallest ids.
  private struct Candidate: Comparable {
    var pair: UInt64
    var count: Int

    static func < (left: Candidate, right: Candidate) -> Bool {
      left.count != right.count ? left.count > right.count : left.pair < right.pair
    }
  }

  /// The bytes of every token with an id, special tokens first.
  private(set) var tokens: [[UInt8]]
  /// The pairs in the order in which they were merged.
  private(set) var merges: [(left: Int32, right: Int32)] = []

  private var ids: [[UInt8]: Int32]
  private let specialTokenCount: Int
  private let minimumFrequency: Int

  /// The tokens of all words, each at the position of its first byte, with a boundary before and after each word.
  ///
  /// A token of n > 1 bytes covers n positions; the last of them holds -n, which leads back from the next token.
  private var symbols: [Int32] = [Self.boundary]
  private static let boundary = Int32.min
  /// The number of bytes of each token.
  private var lengths: [Int]
  /// How often each word occurs.
  private var counts: [Int] = []
  private var pairs = PairTable(capacity: 1 << 16)
  /// How many pairs have been merged.
  private var round: Int32 = 0

  /// - Parameters:
  ///   - words: the words of the text.
  ///   - options: the special tokens and the minimum frequency; the size is that of `learn(upTo:)`.
  init(words: WordCounter, options: TrainingOptions) {
    tokens = options.specialTokens.map { Array($0.utf8) }
    tokens += ByteAlphabet.bytesInCharacterOrder.map { [$0] }
    specialTokenCount = options.specialTokens.count
    minimumFrequency = options.minimumFrequency
    lengths = tokens.map(\.count)
    // A special token is identified by its spelling in the file, which no other token may have.
    let spellings = options.specialTokens.map { ByteAlphabet.bytes(for: $0[...]) ?? Array($0.utf8) }
    let known = spellings + tokens.dropFirst(specialTokenCount)
    ids = Dictionary(known.enumerated().map { ($1, Int32($0)) }, uniquingKeysWith: { first, _ in first })
    addWords(words)
  }

  /// Merges until there are `size` tokens or no pair is frequent enough.
  mutating func learn(upTo size: Int) {
    var queue = PriorityQueue(pairs.counts.map { Candidate(pair: $0.pair, count: $0.count) })
    var merged: Set<UInt64> = []
    var places: [PairTable.Place] = []
    var created: [UInt64] = []
    while tokens.count < size, var top = queue.pop() {
      let count = pairs.count(of: top.pair)
      guard count == top.count else {
        // The count fell since this pair was queued (a pair whose count grows is queued again).
        top.count = count
        if count >= minimumFrequency { queue.push(top) }
        continue
      }
      guard count >= minimumFrequency else { break }
      let left = Int32(truncatingIfNeeded: top.pair >> 32)
      let right = Int32(truncatingIfNeeded: top.pair)
      guard let id = mergedID(left, right) else { continue }
      if merged.insert(top.pair).inserted { merges.append((left, right)) }
      pairs.takePlaces(of: top.pair, into: &places)
      created.removeAll(keepingCapacity: true)
      round += 1
      for place in places { merge(left, right, into: id, at: place, created: &created) }
      for pair in created {
        let count = pairs.count(of: pair)
        if count >= minimumFrequency { queue.push(Candidate(pair: pair, count: count)) }
      }
    }
  }

  // MARK: Steps

  private mutating func addWords(_ words: WordCounter) {
    var byteIDs = [Int32](repeating: 0, count: 256)
    for (place, byte) in ByteAlphabet.bytesInCharacterOrder.enumerated() {
      byteIDs[Int(byte)] = Int32(specialTokenCount + place)
    }
    for word in words.words where word.length > 1 {
      let index = Int32(counts.count)
      counts.append(word.count)
      let start = symbols.count
      for byte in words.bytes(of: word) { symbols.append(byteIDs[Int(byte)]) }
      for position in start..<symbols.count - 1 {
        let pair = MergeTable.pair(symbols[position], symbols[position + 1])
        _ = pairs.add(pair, count: word.count, at: .init(position: position, word: index), round: round)
      }
      symbols.append(Self.boundary)
    }
  }

  /// The id of the merged token; nil when that would be a special token, which no text may be encoded to.
  private mutating func mergedID(_ left: Int32, _ right: Int32) -> Int32? {
    let bytes = tokens[Int(left)] + tokens[Int(right)]
    if let id = ids[bytes] { return id < specialTokenCount ? nil : id }
    let id = Int32(tokens.count)
    tokens.append(bytes)
    lengths.append(bytes.count)
    ids[bytes] = id
    return id
  }

  /// Joins `left` and `right` at a place, if they are still there, and updates the counts of the pairs around it.
  private mutating func merge(
    _ left: Int32, _ right: Int32, into id: Int32, at place: PairTable.Place, created: inout [UInt64]
  ) {
    let middle = place.position + lengths[Int(left)]
    guard symbols[place.position] == left, symbols[middle] == right else { return }
    let end = middle + lengths[Int(right)]
    let count = counts[Int(place.word)]
    let last = symbols[place.position - 1]
    if last != Self.boundary {
      let position = last < 0 ? place.position + Int(last) : place.position - 1
      let before = symbols[position]
      pairs.subtract(MergeTable.pair(before, left), count: count)
      let pair = MergeTable.pair(before, id)
      let isFirst = pairs.add(pair, count: count, at: .init(position: position, word: place.word), round: round)
      if isFirst { created.append(pair) }
    }
    let after = symbols[end]
    if after != Self.boundary {
      pairs.subtract(MergeTable.pair(right, after), count: count)
      let pair = MergeTable.pair(id, after)
      if pairs.add(pair, count: count, at: place, round: round) { created.append(pair) }
    }
    // Only a token's first position holds an id.
    symbols[place.position] = id
    symbols[middle] = -1
    symbols[end - 1] = Int32(place.position - end)
  }
}
