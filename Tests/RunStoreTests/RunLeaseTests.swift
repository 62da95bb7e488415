import Foundation
import Support
import Testing

@testable import RunStore

@Suite struct RunLeaseTests {
  private let directory = FileManager.default.temporaryDirectory.appendingPathComponent("lease-\(UUID().uuidString)")
    .path
  private var path: String { directory + "/.lock" }

  init() throws { try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true) }

  private func acquire(_ start: StartEnvironment = StartEnvironment(), checkpoint: Int = 0) throws -> RunLease {
    try RunLease.acquire(path: path, start: start, checkpoint: checkpoint, log: { _ in })
  }

  @Test func everyHolderRaisesTheEpoch() throws {
    for epoch in 1...3 {
      let lease = try acquire()
      #expect(lease.record.epoch == epoch)
      try lease.release()
    }
  }

  @Test func theNameOfTheCopiesStaysWithJobsThatKeepThem() throws {
    func run(keepsCopies: Bool) throws -> String? {
      let lease = try RunLease.acquire(
        path: path, start: StartEnvironment(), checkpoint: 0, keepsCopies: keepsCopies, log: { _ in })
      try lease.release()
      return lease.record.run
    }
    let first = try #require(try run(keepsCopies: true))
    #expect(try run(keepsCopies: true) == first)
    #expect(try run(keepsCopies: false) == nil)
    #expect(try run(keepsCopies: true) != first)
  }

  @Test func aLivingHolderIsLeftInPeace() throws {
    let lease = try acquire()
    #expect(throws: ForgeError.self) { _ = try acquire() }
    try lease.check()
  }

  @Test func theNextStartOfAJobTakesOverAtOnceAndTheFormerOneNotices() throws {
    let former = try acquire(StartEnvironment(job: "7", attempt: 0))
    let other = try RunLease.joined(path: path, record: former.record)
    try other.check()
    let next = try acquire(StartEnvironment(job: "7", attempt: 1))
    #expect(next.record.epoch == 2)
    try next.check()
    for stale in [former, other] {
      let error = #expect(throws: ForgeError.self) { try stale.check() }
      #expect(error?.kind == .badInput && "\(error, default: "")".contains("another job has taken over"))
    }
    #expect(throws: ForgeError.self, "a release would overwrite the new holder's name") { try former.release() }
    try next.check()
  }

  @Test func restartsWithoutANewCheckpointAreCountedAndEnd() throws {
    func start(_ attempt: Int, checkpoint: Int) throws -> Int {
      try acquire(StartEnvironment(job: "7", attempt: attempt), checkpoint: checkpoint).record.restarts
    }
    #expect(try (0...3).map { try start($0, checkpoint: 10) } == [0, 1, 2, 3])
    let error = #expect(throws: ForgeError.self) { try start(4, checkpoint: 10) }
    #expect(error?.kind == .badInput && "\(error, default: "")".contains("restarted 3 times after step 10"))
    #expect(try start(5, checkpoint: 20) == 0, "a new checkpoint is progress")
    #expect(try start(6, checkpoint: 20) == 1)
    #expect(try acquire(checkpoint: 20).record.restarts == 0, "a person may try again")
  }

  @Test func theSchedulersCountsMakeOneNumber() {
    let environment = ["SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": "2", "FORGE_RESTART": "1"]
    let start = StartEnvironment(environment)
    #expect(start.job == "12" && start.attempt == 2001)
    #expect(StartEnvironment(["FORGE_RESTART": "x"]).attempt == 0)
  }
}
