/// Expert placement: which ranks own which experts.
///
/// `degree` consecutive ranks share the experts of every layer: each has a contiguous range of nearly the same length.
/// The other axis is data parallelism: ranks at the same place of different groups have the same experts.
public struct ExpertPlacement: Sendable, Equatable {
  /// Experts per sparse layer; 0 for a dense model.
  public let experts: Int
  public let ranks: Int
  /// Expert-parallel degree: ranks that share the experts; it divides `ranks`.
  public let degree: Int

  public init(experts: Int, ranks: Int, degree: Int) {
    precondition(degree > 0 && ranks % degree == 0, "the expert degree divides the number of ranks")
    self.experts = experts
    self.ranks = ranks
    self.degree = degree
  }

  /// The max balanced degree: it divides the ranks, and no rank has more than an eighth above an even share of the
  /// experts, because all others would wait for it. When only 1 is balanced, the max divisor that leaves no rank
  /// without an expert: a run that has lost a rank may not have the memory for all experts on each.
  public static func automaticDegree(experts: Int, ranks: Int) -> Int {
    let degrees = (1...max(1, min(experts, ranks))).filter { ranks % $0 == 0 }
    let largest = degrees.last ?? 1
    let even = degrees.last { degree in
      let most = (experts + degree - 1) / degree
      return degree > 1 && 8 * most * degree <= 9 * experts
    }
    return even ?? largest
  }

  /// A rank's place among those that share the experts.
  public func place(of rank: Int) -> Int { rank % degree }

  /// The experts of a place.
  public func experts(at place: Int) -> Range<Int> {
    place * experts / degree..<(place + 1) * experts / degree
  }

  public func experts(of rank: Int) -> Range<Int> { experts(at: place(of: rank)) }

  /// Chunks of token dispatch: enough to overlap transfers, few enough to keep messages large. One when a rank may have
  /// a single expert.
  public var chunks: Int { degree > 1 && experts / degree >= 2 ? 2 : 1 }

  /// Parts of a rank's local rows, between which it polls for received ones: small ones, with work for all `threads`.
  public func ownParts(of rank: Int, threads: Int) -> Int { max(chunks, experts(of: rank).count / threads) }

  /// The ranks that have the experts of a place, in order.
  public func ranks(at place: Int) -> [Int] { Array(stride(from: place, to: ranks, by: degree)) }
}
