import Checkpoints
import Testing

@testable import Training

@Suite struct BranchTests {
  private var branch: Branch? {
    Branch([
      "branch": [
        "from": "runs/trunk", "checkpoint": "runs/trunk/checkpoints/step-00000004", "root": "ab", "step": 4,
        "tokens": 512,
        "ledger_offset": 99, "ledger_hash": "cd",
      ]
    ])
  }

  /// The data stream of a branch begins with its first step.
  @Test func dataBeginAtTheirBeginning() {
    let spikes = LossSpikeDetector(.init(policy: .skip, zScore: nil, window: 16, maximumGradientNorm: nil))
    var progress = TrainingStep.Progress(spikes: spikes, streamStart: 4)
    #expect((5...7).map { progress.batch(ofStep: $0) } == [0, 1, 2])
    progress.skippedBatches = [1]
    #expect((5...7).map { progress.batch(ofStep: $0) } == [0, 2, 3])
  }

  @Test func survivesMetadata() throws {
    let branch = try #require(branch)
    #expect(branch.step == 4 && branch.tokens == 512 && branch.ledgerOffset == 99 && branch.ledgerHash == "cd")
    #expect(Branch([Branch.metadataKey: try branch.metadata]) == branch)
    #expect(Branch([:]) == nil && Branch([Branch.metadataKey: nil]) == nil)
  }

  @Test func isNamedByItsPathsOnly() throws {
    let branch = try #require(branch)
    #expect(branch.isNamed(by: "./runs/trunk/") && branch.isNamed(by: "runs/trunk/checkpoints/step-00000004"))
    #expect(!branch.isNamed(by: "runs/other") && !branch.isNamed(by: "runs/trunk/checkpoints/step-00000002"))
  }
}
