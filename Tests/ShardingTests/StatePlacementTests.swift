import ConfigurationFiles
import Models
import Testing

@testable import Sharding

@Suite struct StatePlacementTests {
  /// Two sparse layers and a dense one; expert tensors and the embedding have several blocks.
  private static func layout(experts: Int = 6) throws -> ParameterLayout {
    let text = """
      { model_type: qwen3_moe, vocab_size: 700, hidden_size: 64, intermediate_size: 96, moe_intermediate_size: 300,
        num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2, num_experts: \(experts),
        num_experts_per_tok: 2, mlp_only_layers: [1], max_position_embeddings: 64 }
      """
    let node = try ConfigurationNode.parse(text, source: "test")
    return ParameterLayout(try ModelConfiguration(huggingFace: ConfigurationSection(node)))
  }

  private static let cases: [(ranks: Int, degree: Int)] = [
    (1, 1), (2, 1), (2, 2), (3, 3), (4, 2), (6, 6), (8, 4), (64, 2), (128, 4),
  ]

  @Test(arguments: cases, [false, true])
  func everyElementHasOneOwnerAmongThoseWhoComputeWithIt(_ ranks: (Int, Int), wholeMatrices: Bool) throws {
    let layout = try Self.layout()
    let placement = StatePlacement(
      layout: layout, experts: ExpertPlacement(experts: 6, ranks: ranks.0, degree: ranks.1), sharding: .optimizer,
      wholeMatrices: wholeMatrices)
    for (piece, range) in layout.pieces.enumerated() {
      let owned = placement.owned[piece].filter { !$0.isEmpty }.sorted { $0.lowerBound < $1.lowerBound }
      #expect(owned.first?.lowerBound == range.lowerBound && owned.last?.upperBound == range.upperBound)
      for (part, next) in zip(owned, owned.dropFirst()) { #expect(part.upperBound == next.lowerBound) }
      for rank in 0..<ranks.0 where !placement.owned[piece][rank].isEmpty {
        let part = placement.owned[piece][rank]
        let computed = placement.computed(piece: piece, by: rank)
        #expect(computed.lowerBound <= part.lowerBound && part.upperBound <= computed.upperBound)
        for (tensor, elements) in layout.parts(of: [part]) {
          let isWhole = elements == tensor.range
          #expect(isWhole || !(wholeMatrices && tensor.role == .hidden), "\(tensor.name) is cut")
          // Cuts are at block boundaries of the tensor.
          #expect((elements.lowerBound - tensor.range.lowerBound) % StatePlacement.blockSize == 0)
          let ends = elements.upperBound == tensor.range.upperBound
          #expect(ends || (elements.upperBound - tensor.range.lowerBound) % StatePlacement.blockSize == 0)
        }
      }
    }
  }

  @Test(arguments: cases) func ranksOwnAboutTheSame(ranks: Int, degree: Int) throws {
    let layout = try Self.layout()
    let placement = StatePlacement(
      layout: layout, experts: ExpertPlacement(experts: 6, ranks: ranks, degree: degree), sharding: .full)
    let totals = (0..<ranks).map { rank in placement.owned.reduce(0) { $0 + $1[rank].count } }
    #expect(totals.reduce(0, +) == layout.count)
    let most = totals.max() ?? 0
    #expect(most <= layout.count / ranks + 2 * StatePlacement.blockSize, "\(totals)")
  }

  @Test func whatIsKeptAndUpdatedFollowsTheSharding() throws {
    let layout = try Self.layout()
    let experts = ExpertPlacement(experts: 6, ranks: 4, degree: 2)
    func placement(_ sharding: StateSharding) -> StatePlacement {
      StatePlacement(layout: layout, experts: experts, sharding: sharding)
    }
    let piece = try #require(layout.expertsPiece(0))
    // Ranks 1 and 3 have the last three experts.
    #expect(placement(.none).computed(piece: piece, by: 3) == layout.experts(3..<6, layer: 0))
    #expect(placement(.none).holders(piece: piece, of: 3) == [1, 3])
    #expect(placement(.none).updated(piece: piece, by: 3) == layout.experts(3..<6, layer: 0))
    #expect(placement(.optimizer).kept(piece: piece, by: 3) == layout.experts(3..<6, layer: 0))
    let owned = placement(.optimizer).owned[piece]
    #expect(placement(.optimizer).updated(piece: piece, by: 3) == owned[3])
    #expect(owned[1].count + owned[3].count == layout.experts(3..<6, layer: 0).count)
    #expect(placement(.full).kept(piece: piece, by: 3) == owned[3])
    #expect(placement(.full).computed(piece: layout.headPiece, by: 2) == layout.pieces[layout.headPiece])
  }

  /// Every kept element is in one run, and no two runs touch.
  @Test(arguments: cases, StateSharding.allCases) func keptRunsAreWhatIsKept(
    of: (ranks: Int, degree: Int), sharding: StateSharding
  ) throws {
    let layout = try Self.layout()
    let placement = StatePlacement(
      layout: layout, experts: ExpertPlacement(experts: 6, ranks: of.ranks, degree: of.degree), sharding: sharding)
    for rank in [0, of.ranks - 1] {
      let runs = placement.keptRuns(by: rank)
      let kept = layout.pieces.indices.map { placement.kept(piece: $0, by: rank) }.filter { !$0.isEmpty }
      #expect(Set(runs.joined()) == Set(kept.joined()))
      #expect(zip(runs, runs.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound })
    }
  }

  @Test(arguments: [(6, 4), (5, 5), (8, 3), (64, 64)]) func expertsAreDealtEvenly(experts: Int, degree: Int) {
    let placement = ExpertPlacement(experts: experts, ranks: 2 * degree, degree: degree)
    let ranges = (0..<degree).map(placement.experts(at:))
    #expect(ranges.flatMap(Array.init) == Array(0..<experts))
    let counts = ranges.map(\.count)
    #expect((counts.max() ?? 0) - (counts.min() ?? 0) <= 1)
  }
}
