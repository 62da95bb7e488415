/// The counts of the distinct words of a text: an open-addressed table over one store of bytes.
struct WordCounter: Sendable {
  struct Word {
    var hash: UInt64
    /// Where the word's bytes begin in `storage`.
    var start: Int
    var length: Int
    var count: Int
  }

  private(set) var words: [Word] = []
  private(set) var storage: [UInt8] = []
  /// One more than the index of a word, 0 in a free slot.
  private var slots = [UInt32](repeating: 0, count: 1 << 12)

  /// The bytes of a word of this counter.
  func bytes(of word: Word) -> ArraySlice<UInt8> { storage[word.start..<word.start + word.length] }

  mutating func add(_ bytes: UnsafeBufferPointer<UInt8>, count: Int) {
    add(bytes, hash: ByteHash.hash(bytes), count: count)
  }

  /// Adds the words of another counter.
  mutating func add(_ other: WordCounter) {
    other.storage.withUnsafeBufferPointer { storage in
      for word in other.words {
        let bytes = UnsafeBufferPointer(rebasing: storage[word.start..<word.start + word.length])
        add(bytes, hash: word.hash, count: word.count)
      }
    }
  }

  private mutating func add(_ bytes: UnsafeBufferPointer<UInt8>, hash: UInt64, count: Int) {
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: hash) & mask
    while slots[slot] != 0 {
      let index = Int(slots[slot]) - 1
      if words[index].hash == hash, isEqual(words[index], bytes) {
        words[index].count += count
        return
      }
      slot = (slot + 1) & mask
    }
    words.append(Word(hash: hash, start: storage.count, length: bytes.count, count: count))
    storage.append(contentsOf: bytes)
    slots[slot] = UInt32(words.count)
    if words.count * 2 > slots.count { grow() }
  }

  private func isEqual(_ word: Word, _ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    guard word.length == bytes.count else { return false }
    return storage.withUnsafeBufferPointer { storage in
      for offset in 0..<word.length where storage[word.start + offset] != bytes[offset] { return false }
      return true
    }
  }

  private mutating func grow() {
    slots = [UInt32](repeating: 0, count: slots.count * 4)
    let mask = slots.count - 1
    for (index, word) in words.enumerated() {
      var slot = Int(truncatingIfNeeded: word.hash) & mask
      while slots[slot] != 0 { slot = (slot + 1) & mask }
      slots[slot] = UInt32(index + 1)
    }
  }
}

extension WordCounter {
  /// Counts the words of `text`.
  mutating func add(wordsOf text: UnsafeBufferPointer<UInt8>, pattern: SplitPattern) {
    CharacterClasses.table.withUnsafeBufferPointer { classes in
      guard let base = text.baseAddress, let classes = classes.baseAddress else { return }
      let scanner = WordScanner(bytes: base, end: text.count, pattern: pattern, classes: classes)
      var start = 0
      while start < scanner.end {
        let end = scanner.wordEnd(from: start)
        add(UnsafeBufferPointer(start: base + start, count: end - start), count: 1)
        start = end
      }
    }
  }
}
