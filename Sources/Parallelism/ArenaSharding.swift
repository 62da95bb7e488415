/// Which rank owns which elements of an arena that is cut in pieces, such as one per decoder block.
///
/// The owner of an element holds its complete gradient, keeps its optimizer state and updates it. Every rank owns a
/// contiguous range, perhaps empty, of every piece. Ranges begin and end at multiples of `blockSize` elements, counted
/// from the start of the piece, so that sums over blocks do not depend on the number of ranks.
public struct ArenaSharding: Sendable {
  /// The elements of a block, the smallest thing a rank can own; the last block of a piece may be shorter.
  public static let blockSize = 16_384

  /// The pieces, as ranges of the arena.
  public let pieces: [Range<Int>]
  /// By piece, then by rank, the range of the arena that the rank owns.
  public let owned: [[Range<Int>]]

  /// Deals the blocks of each piece to the ranks in order, and the blocks that are left over when they cannot be dealt
  /// evenly to the ranks that own the fewest so far.
  public init(pieces: [Range<Int>], ranks: Int) {
    precondition(ranks > 0, "an arena has an owner")
    var totals = [Int](repeating: 0, count: ranks)
    self.pieces = pieces
    owned = pieces.map { piece in
      let blocks = (piece.count + Self.blockSize - 1) / Self.blockSize
      var shares = [Int](repeating: blocks / ranks, count: ranks)
      for rank in (0..<ranks).sorted(by: { (totals[$0], $0) < (totals[$1], $1) }).prefix(blocks % ranks) {
        shares[rank] += 1
      }
      var first = 0
      return (0..<ranks).map { rank in
        defer { first += shares[rank] }
        totals[rank] += shares[rank]
        let start = piece.lowerBound + first * Self.blockSize
        let end = piece.lowerBound + (first + shares[rank]) * Self.blockSize
        return min(start, piece.upperBound)..<min(end, piece.upperBound)
      }
    }
  }
}
