import Foundation
import Testing

@testable import Diagnostics
@testable import Support

/// Verdicts on made-up flight records: four ranks in step 41, whose steps usually take half a second.
@Suite struct RunDiagnosisTests {
  private typealias Operation = FlightRecord.Operation
  private static let now = 1_000_000.0

  private func record(_ rank: Int, _ world: [Operation] = [], place: UInt64 = 1) -> FlightRecord {
    FlightRecord(
      rank: rank, ranks: 4, host: "node\(place)", place: place, pid: 100 + Int32(rank), processStart: 5, attempt: 1,
      lastBeat: Self.now - 0.5, phase: .training, step: 41, progressed: Self.now - 20, usualSeconds: 0.5,
      limitSeconds: 120, signal: nil, ending: nil,
      communicators: [.init(id: 1, name: "world", members: [0, 1, 2, 3], operations: world)])
  }

  private func operation(
    _ sequence: UInt64, _ name: String = "MPI_Allreduce", bytes: Int = 8, open: Bool = true, waiting: Bool = true
  ) -> Operation {
    Operation(
      sequence: sequence, name: name, bytes: bytes, site: "A.swift:\(sequence)", began: Self.now - 19,
      finished: open ? nil : Self.now - 19, isWaiting: waiting)
  }

  private func diagnosis(
    _ records: [FlightRecord], states: [Int32: ProcessTable.State] = [:]
  ) -> RunDiagnosis {
    RunDiagnosis(records, now: Self.now, place: 1) { pid, _ in states[pid] ?? .alive }
  }

  /// Ranks 0, 1 and 3 wait in operation 7; rank 2 has done six.
  private var oneMissing: [FlightRecord] {
    (0..<4).map { rank in
      rank == 2 ? record(2, [operation(6, open: false)]) : record(rank, [operation(6, open: false), operation(7)])
    }
  }

  @Test func stillComputing() {
    let diagnosis = diagnosis(oneMissing)
    #expect(diagnosis.kind == .computing && diagnosis.culprits == [2])
    #expect(diagnosis.sentence.hasPrefix("rank 2 (host node1, pid 102) is still computing in step 41 since 20.0 s"))
    #expect(
      diagnosis.sentence.contains("ranks 0, 1, 3 wait for it in MPI_Allreduce no. 7 of 'world' (8 bytes, A.swift:7)"))
    #expect(diagnosis.text().contains("waits for rank 2 since 19.0 s"))
  }

  /// A rank may start the next operation before it waits for the one before.
  @Test func othersWereStartedBehindTheOneWaitedFor() {
    var records = oneMissing
    for rank in [0, 1, 3] {
      records[rank] = record(rank, [operation(6, open: false), operation(7), operation(8, waiting: false)])
    }
    let diagnosis = diagnosis(records)
    #expect(diagnosis.kind == .computing && diagnosis.culprits == [2])
    #expect(diagnosis.sentence.contains("ranks 0, 1, 3 wait for it in MPI_Allreduce no. 7"))
  }

  @Test func stopped() {
    let diagnosis = diagnosis(oneMissing, states: [102: .stopped])
    #expect(diagnosis.kind == .stopped && diagnosis.culprits == [2])
    #expect(diagnosis.sentence.contains("is stopped in step 41, by SIGSTOP"))
    #expect(diagnosis.sentence.contains("kill -CONT 102"))
  }

  /// Rank 2 is stopped inside the operation, before it has sent what the others need.
  @Test func stoppedInside() {
    let records = (0..<4).map { record($0, [operation(7)]) }
    let diagnosis = diagnosis(records, states: [102: .stopped])
    #expect(diagnosis.kind == .stopped && diagnosis.culprits == [2])
    #expect(diagnosis.sentence.contains("ranks 0, 1, 3 wait for it in MPI_Allreduce no. 7"))
  }

  @Test func dead() {
    let diagnosis = diagnosis(oneMissing, states: [102: .gone])
    #expect(diagnosis.kind == .dead && diagnosis.culprits == [2])
    #expect(diagnosis.sentence.contains("ranks 0, 1, 3 wait for it in MPI_Allreduce no. 7"))
  }

  /// After the launcher has ended the others too: those that it had signalled first are not the cause.
  @Test func deadAmongTheTerminated() {
    var records = oneMissing
    for rank in [0, 1, 3] { records[rank].signal = SIGTERM }
    records[2].signal = SIGUSR1  // a scheduler's warning, which ends no process
    let diagnosis = diagnosis(records, states: [100: .gone, 101: .gone, 102: .gone, 103: .gone])
    #expect(diagnosis.kind == .dead && diagnosis.culprits == [2])
    #expect(diagnosis.sentence.contains("ranks 0, 1, 3 waited for it in"))
    #expect(diagnosis.conditions == [.terminated, .terminated, .dead, .terminated])
  }

  /// Without signals, the rank with the earliest last heartbeat.
  @Test func theFirstOfTheDead() {
    var records = oneMissing
    records[2].lastBeat -= 8
    records[2].progressed -= 8
    let diagnosis = diagnosis(records, states: [100: .gone, 101: .gone, 102: .gone, 103: .gone])
    #expect(diagnosis.kind == .dead && diagnosis.culprits == [2])
  }

  @Test func allKilledAtOnce() {
    let all: [Int32: ProcessTable.State] = [100: .gone, 101: .gone, 102: .gone, 103: .gone]
    #expect(diagnosis((0..<4).map { record($0) }, states: all).culprits == [0, 1, 2, 3])
    var records = (0..<4).map { record($0) }
    for rank in 0..<4 { records[rank].signal = 15 }
    #expect(diagnosis(records, states: all).kind == .terminated)
  }

  @Test func aFailureIsToBlameAndItsConsequencesAreNot() {
    var records = oneMissing
    records[2].ending = .init(kind: .failure, exitCode: 75, sentence: "disk full")
    records[0].ending = .init(kind: .consequence, exitCode: 75, sentence: "MPI_Allreduce failed")
    let diagnosis = diagnosis(records, states: [101: .gone, 103: .gone])
    #expect(diagnosis.kind == .failed && diagnosis.culprits == [2])
    #expect(diagnosis.sentence.contains("failed: disk full"))
  }

  @Test func anotherNodeFallsSilent() {
    var records = oneMissing
    records[2] = record(2, [operation(6, open: false)], place: 2)
    records[3].place = 2
    records[2].lastBeat = Self.now - 300
    records[2].progressed = Self.now - 300
    records[2].communicators = []
    let diagnosis = diagnosis(records, states: [102: .gone])  // a process of this node has its id
    #expect(diagnosis.kind == .silent && diagnosis.culprits == [2])
    #expect(diagnosis.sentence.contains("(host node2, pid 102) gave no sign of life since"))
  }

  @Test func differentCollectives() {
    var records = oneMissing
    records[2] = record(2, [operation(6, open: false), operation(7, "MPI_Barrier", bytes: 0)])
    let diagnosis = diagnosis(records)
    #expect(diagnosis.kind == .mismatched)
    #expect(diagnosis.sentence.contains("rank 2 in MPI_Barrier"))
    records[2] = record(2, [operation(7, bytes: 16)])
    #expect(self.diagnosis(records).kind == .mismatched)
    // The ranks' counts may differ.
    let uneven = (0..<4).map { record($0, [operation(7, "MPI_Alltoallv", bytes: 10 * $0)]) }
    #expect(self.diagnosis(uneven).kind == .transfer)
  }

  @Test func messagesThatDoNotArrive() {
    let diagnosis = diagnosis((0..<4).map { record($0, [operation(7)]) })
    #expect(diagnosis.kind == .transfer && diagnosis.culprits == [0, 1, 2, 3])
    #expect(diagnosis.sentence.contains("ranks 0–3 wait in MPI_Allreduce no. 7"))
  }

  /// An operation under way that no rank waits for delays none.
  @Test func behindTheComputation() {
    let records = (0..<4).map { rank in
      record(rank, rank == 2 ? [] : [operation(7, "MPI_Iallreduce", waiting: false)])
    }
    let diagnosis = diagnosis(records)
    #expect(diagnosis.kind == .computing && diagnosis.culprits == [0, 1, 2, 3])
  }

  @Test func deadlock() {
    // 0 and 1 share one communicator, 1 and 2 another; each waits where the other is not.
    func pair(_ id: UInt64, _ members: [Int], _ operations: [Operation]) -> FlightRecord.Communicator {
      .init(id: id, name: "pair \(id)", members: members, operations: operations)
    }
    var records = (0..<2).map { record($0) }
    records[0].communicators = [pair(5, [0, 1], [operation(1)]), pair(6, [0, 1], [])]
    records[1].communicators = [pair(5, [0, 1], []), pair(6, [0, 1], [operation(1)])]
    let diagnosis = diagnosis(records)
    #expect(diagnosis.kind == .deadlock && diagnosis.culprits == [0, 1])
    #expect(diagnosis.sentence.contains("(ranks 2, 3 left no record.)"))
  }

  @Test func nothingWrong() {
    var records = oneMissing
    for rank in 0..<4 { records[rank].progressed = Self.now - 1 }
    #expect(diagnosis(records).kind == .sound)
    for rank in 0..<4 { records[rank].ending = .init(kind: .normal, exitCode: 0, sentence: "") }
    let ended = diagnosis(records)
    #expect(ended.kind == .complete && ended.culprits.isEmpty)
    #expect(ended.sentence == "all ranks ended by themselves: the run is complete.")
  }

  @Test func names() {
    #expect(RunDiagnosis.names([3]) == "rank 3")
    #expect(RunDiagnosis.names([7, 1, 0]) == "ranks 0, 1, 7")
    #expect(RunDiagnosis.names([4, 5, 6, 9]) == "ranks 4–6, 9")
  }
}
