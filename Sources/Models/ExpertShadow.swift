/// An expert that a rank borrows for its own rows, so that the rank that holds it has less to do.
///
/// In every layer all ranks wait for the busiest one, and how busy the experts are changes from micro-batch to
/// micro-batch, so no fixed place of theirs evens it out. A borrower gets the expert's weights, computes with them what
/// its micro-batch wants of that expert, and sends back the weights' gradient, which the lender adds to its exact sums:
/// the same piece of arithmetic elsewhere, hence the same bits. (He et al. 2022, "FasterMoE", dynamic shadowing.)
public struct ExpertShadow: Sendable, Equatable {
  public let expert: Int
  /// Places in the group of ranks that share the experts.
  public let lender: Int
  public let borrower: Int

  /// Experts of a layer that a rank lends at most: so many gradients come back to it at a time. It borrows one at most.
  public static let mostLent = 2

  /// Takes rows off the busiest rank, again and again, as long as that helps; the same choice on every rank.
  ///
  /// - Parameters:
  ///   - counts: `[ranks][experts]`: how many rows of each rank's micro-batch chose each expert.
  ///   - experts: by rank, the experts that it holds.
  ///   - chunks: into how many parts each rank's experts are cut: an expert at an end of its part may be lent, so that
  ///     the rows that travel stay one run of memory.
  ///   - fewestRows: that lending must take off the busier of the two ranks.
  static func choose(counts: [[Int]], experts: [Range<Int>], chunks: Int, fewestRows: Int) -> [ExpertShadow] {
    var loads = experts.map { experts in counts.reduce(0) { $0 + $1[experts].reduce(0, +) } }
    var shadows: [ExpertShadow] = []
    while let lender = loads.indices.max(by: { (loads[$0], $1) < (loads[$1], $0) }),
      shadows.count(where: { $0.lender == lender }) < mostLent
    {
      let ends = Set(
        (0..<chunks).map { DispatchPlan.part($0, of: experts[lender], parts: chunks) }.filter { !$0.isEmpty }
          .flatMap { [$0.lowerBound, $0.upperBound - 1] })
      var best = (gain: 0, shadow: ExpertShadow?.none)
      for borrower in loads.indices where borrower != lender && !shadows.contains(where: { $0.borrower == borrower }) {
        for expert in ends.sorted() {
          let rows = counts[borrower][expert]
          let gain = loads[lender] - max(loads[lender] - rows, loads[borrower] + rows)
          if gain > best.gain { best = (gain, ExpertShadow(expert: expert, lender: lender, borrower: borrower)) }
        }
      }
      guard best.gain >= max(1, fewestRows), let shadow = best.shadow else { break }
      let rows = counts[shadow.borrower][shadow.expert]
      loads[lender] -= rows
      loads[shadow.borrower] += rows
      shadows.append(shadow)
    }
    return shadows
  }
}
