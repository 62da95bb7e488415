import Testing

@testable import Parallelism

@Suite struct ExpertShadowTests {
  private static func loads(_ counts: [[Int]], _ experts: [Range<Int>], _ shadows: [ExpertShadow]) -> [Int] {
    var loads = experts.map { experts in counts.reduce(0) { $0 + $1[experts].reduce(0, +) } }
    for shadow in shadows {
      loads[shadow.owner] -= counts[shadow.host][shadow.expert]
      loads[shadow.host] += counts[shadow.host][shadow.expert]
    }
    return loads
  }

  private static func choose(_ counts: [[Int]], _ experts: [Range<Int>], minRows: Int) -> [ExpertShadow] {
    var shadowSelection = ShadowSelection(experts: experts, chunks: 2, minRows: minRows)
    return shadowSelection.choose(counts)
  }

  @Test func theIdleRankBorrowsWhatEvensTheLoads() {
    let counts = [[10, 20, 300, 170], [20, 30, 400, 50]]
    let shadows = Self.choose(counts, [0..<2, 2..<4], minRows: 1)
    #expect(shadows == [ExpertShadow(expert: 2, owner: 1, host: 0)])
    #expect(Self.loads(counts, [0..<2, 2..<4], shadows) == [380, 620])
  }

  /// All tokens go to one expert: every other rank hosts a copy of it.
  @Test func theOnlyExpertInUseIsLentAsOftenAsMayBe() {
    let counts = Array(repeating: [0, 0, 0, 90], count: 4)
    let shadows = Self.choose(counts, [0..<1, 1..<2, 2..<3, 3..<4], minRows: 1)
    #expect(shadows.count == ExpertShadow.maxShadowed && shadows.allSatisfy { $0.expert == 3 && $0.owner == 3 })
    #expect(Set(shadows.map(\.host)).count == shadows.count)
  }

  @Test func littleIsNotWorthACopy() {
    let counts = [[40, 60], [50, 75]]
    #expect(Self.choose(counts, [0..<1, 1..<2], minRows: 60).isEmpty)
    #expect(Self.choose([[50, 50], [50, 50]], [0..<1, 1..<2], minRows: 1).isEmpty)
  }

  /// A rank's backlog of one layer is balanced in the next, though that layer by itself is even.
  @Test func layersMakeUpForEachOther() {
    let experts = [0..<2, 2..<4]
    var shadowSelection = ShadowSelection(experts: experts, chunks: 2, minRows: 1)
    #expect(shadowSelection.choose([[500, 500, 600, 600], [500, 500, 600, 600]]).isEmpty)
    let even = [[450, 550, 150, 850], [450, 550, 150, 850]]
    #expect(shadowSelection.choose(even) == [ExpertShadow(expert: 2, owner: 1, host: 0)])
    #expect(shadowSelection.choose(even).isEmpty)  // 100 are left, and moving 150 would not help
  }

  /// Other ranks wait for one that is far behind: an older backlog is gone.
  @Test func theBacklogEnds() {
    let experts = [0..<2, 2..<4]
    var shadowSelection = ShadowSelection(experts: experts, chunks: 2, minRows: 150)
    for _ in 0..<9 { #expect(shadowSelection.choose([[0, 0, 0, 0], [0, 0, 0, 1000]]).isEmpty) }
    // 500 rows behind at most: shadowing 420 takes 80 off the later of the two, not 150.
    #expect(shadowSelection.choose([[250, 250, 420, 80], [250, 250, 420, 80]]).isEmpty)
  }

  /// Half as fast in everything, with the same rows: shadowing evens the times, not the rows.
  @Test func aSlowRankLendsMore() {
    let counts = [[250, 250, 200, 300], [250, 250, 200, 300]]
    let experts = [0..<2, 2..<4]
    func chosen(_ timings: [ExpertTiming]) -> [ExpertShadow] {
      var shadowSelection = ShadowSelection(experts: experts, chunks: 2, minRows: 1)
      return shadowSelection.choose(counts, timings: timings)
    }
    let timing = ExpertTiming(preExpert: 1000, row: 1000)
    #expect(chosen([timing, timing]).isEmpty)
    #expect(chosen([timing, ExpertTiming(preExpert: 2000, row: 2000)]) == [ExpertShadow(expert: 3, owner: 1, host: 0)])
    // A slow part before the experts counts as well, but only for a rank that has tokens.
    #expect(chosen([timing, ExpertTiming(preExpert: 1600, row: 1000)]) == [ExpertShadow(expert: 3, owner: 1, host: 0)])
    // Timings are not used until every rank has one.
    #expect(chosen([.unknown, ExpertTiming(preExpert: 2000, row: 2000)]).isEmpty)
  }

  @Test func aRankWithoutTokensHasNoFront() {
    var shadowSelection = ShadowSelection(experts: [0..<1, 1..<2], chunks: 1, minRows: 1)
    let timings = [ExpertTiming(preExpert: 0, row: 1000), ExpertTiming(preExpert: 900_000, row: 1000)]
    #expect(shadowSelection.choose([[400, 400], [0, 0]], timings: timings).isEmpty)  // else rank 1 would own one
  }

  /// A little slower: shadowing an expert in every layer would be too much, in some layers it is right.
  @Test func aSlightlySlowerRankLendsNowAndThen() {
    var shadowSelection = ShadowSelection(experts: [0..<2, 2..<4], chunks: 2, minRows: 1)
    let timings = [ExpertTiming(preExpert: 50_000, row: 50_000), ExpertTiming(preExpert: 52_000, row: 52_000)]
    let layers = (0..<100).map { _ in
      shadowSelection.choose([[500, 500, 500, 500], [500, 500, 500, 500]], timings: timings)
    }
    #expect(layers.allSatisfy { $0.count <= 1 && $0.allSatisfy { $0.owner == 1 } })
    // 102 rows of 2000 and 1000 before the experts more or less; shadowing 500 makes a difference of 1020.
    #expect((8...14).contains(layers.count { !$0.isEmpty }), "\(layers.count { !$0.isEmpty })")
  }

  /// A rank without tokens hosts no expert.
  @Test func whoHasNoRowsBorrowsNothing() {
    #expect(Self.choose([[0, 0], [90, 900]], [0..<1, 1..<2], minRows: 1).isEmpty)
  }

  /// For any counts, no rank's load exceeds the former maximum, and no rank hosts two experts.
  @Test func lendingNeverHarms() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<200 {
      let ranks = Int.random(in: 2...6, using: &random)
      let experts = (0..<ranks).map { $0 * 16 / ranks..<($0 + 1) * 16 / ranks }
      let counts = (0..<ranks).map { _ in (0..<16).map { _ in Int.random(in: 0...200, using: &random) } }
      let shadows = Self.choose(counts, experts, minRows: 1)
      let before = Self.loads(counts, experts, []).max() ?? 0
      #expect(Self.loads(counts, experts, shadows).max() ?? 0 <= before - (shadows.isEmpty ? 0 : 1), "\(counts)")
      #expect(Set(shadows.map(\.host)).count == shadows.count)
      #expect(shadows.allSatisfy { experts[$0.owner].contains($0.expert) && $0.owner != $0.host })
    }
  }
}
