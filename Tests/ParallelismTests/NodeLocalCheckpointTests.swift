import Testing

@testable import Checkpoints
@testable import Parallelism

@Suite struct NodesTests {
  @Test func ranksOfOneHostAreANodeWhereverTheyStand() {
    let nodes = Nodes(hosts: ["b", "a", "b", "c", "a"])
    #expect(nodes.ranks == [[0, 2], [1, 4], [3]] && nodes.hosts == ["b", "a", "c"])
    #expect(nodes.nodeOfRank == [0, 1, 0, 2, 1])
    #expect((0..<5).map(nodes.isLeader) == [true, true, false, true, false])
  }

  @Test func thePartnerIsOnTheNextNode() {
    let nodes = Nodes(hosts: ["a", "a", "b", "c", "c"])
    #expect((0..<5).map(nodes.partner) == [2, 2, 3, 0, 1])
    #expect(Nodes(hosts: ["a", "a"]).partner(of: 1) == nil)
  }
}

@Suite struct NodeLocalCheckpointTests {
  private func holding(_ step: Int, _ present: Set<Int>, of count: Int = 3, root: String? = nil) -> NodeLocalHolding {
    NodeLocalHolding(
      step: step, root: root ?? "root of \(step)", sharedStep: 5,
      lengths: Dictionary(uniqueKeysWithValues: (0..<count).map { ("s\($0)", 100 + $0) }),
      present: Set(present.map { "s\($0)" }))
  }

  @Test func aCheckpointIsWholeWhenEveryShardIsSomewhere() {
    let found = NodeLocalCheckpoint.all([
      [holding(10, [0, 2]), holding(20, [0, 2])], [], [holding(10, [1]), holding(20, [2])],
    ])
    #expect(found.map(\.step) == [20, 10])
    #expect(found.map(\.missing) == [["s1"], []])
    #expect(found[1].nodes == [0, 2] && found[1].holders == ["s0": [0], "s1": [2], "s2": [0]])
    #expect(found[0].holders["s2"] == [0, 2] && found[0].sharedStep == 5)
  }

  @Test func shardsOfDifferentCoursesAreNotMixed() {
    let found = NodeLocalCheckpoint.all([
      [holding(10, [0, 1], root: "x")], [holding(10, [1, 2], root: "y")], [holding(10, [0, 2], root: "y")],
    ])
    #expect(found.map(\.root) == ["y", "x"] && found.map(\.missing) == [[], ["s2"]])
    #expect(found[0].nodes == [1, 2] && found[0].holders["s1"] == [1])
  }

  @Test func aNodeGetsWhatItsRanksNeedAndItLacks() throws {
    let nodes = Nodes(hosts: ["a", "b", "b", "c"])
    let checkpoint = try #require(NodeLocalCheckpoint.all([[holding(10, [0, 2])], [holding(10, [0, 1])], []]).first)
    let transfers = checkpoint.transfers(needs: [["s0"], ["s2"], ["s0", "s1", "s2"]], nodes: nodes)
    #expect(
      transfers == [
        ShardTransfer(file: "s2", length: 102, source: 0, destination: 1),
        ShardTransfer(file: "s0", length: 100, source: 0, destination: 3),
        ShardTransfer(file: "s1", length: 101, source: 1, destination: 3),
        ShardTransfer(file: "s2", length: 102, source: 0, destination: 3),
      ])
  }

  @Test func inAWaveEveryRankSendsAndReceivesOnce() {
    let transfers = (0..<40).map {
      ShardTransfer(file: "s\($0)", length: 1, source: $0 * 7 % 5, destination: $0 * 3 % 4)
    }
    let waves = ShardTransfer.waves(transfers)
    for wave in waves {
      #expect(Set(wave.map(\.source)).count == wave.count && Set(wave.map(\.destination)).count == wave.count)
    }
    #expect(waves.flatMap(\.self).sorted { $0.file < $1.file } == transfers.sorted { $0.file < $1.file })
    #expect(waves.count < 20)
  }
}
