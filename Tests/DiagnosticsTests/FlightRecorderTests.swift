import Foundation
import Testing

@testable import Diagnostics
@testable import Support

@Suite struct FlightRecorderTests {
  private let folder = NSTemporaryDirectory() + "forge-blackbox-" + UUID().uuidString

  private func box(rank: Int = 0, ranks: Int = 3, attempt: Int64 = 1) throws -> FlightRecorder {
    try FlightRecorder(folder: folder, rank: rank, ranks: ranks, attempt: attempt)
  }

  private func enter(_ ring: FlightRecorder.Ring, _ sequence: UInt64, waits: Bool = true) -> FlightRecorder.Entry {
    ring.enter(
      "MPI_Allreduce", sequence: sequence, bytes: 8 * Int(sequence), file: "Training/StepReduction.swift", line: 7,
      waits: waits)
  }

  @Test func whatIsWrittenIsRead() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let box = try box(rank: 2, ranks: 70, attempt: 5)
    box.enter(.training, step: 41)
    box.setExpectation(usual: 0.5, limit: 120)
    let ring = try #require(box.claim(id: 77, name: "gradients (data)", members: [2, 5, 69]))
    enter(ring, 1).finish()
    let open = enter(ring, 2, waits: false)

    var record = try #require(FlightRecord(path: FlightRecorder.path(folder: folder, rank: 2)))
    #expect(record.rank == 2 && record.ranks == 70 && record.attempt == 5)
    #expect(record.pid == getpid() && record.host == ProcessTable.hostName && record.place == ProcessTable.place)
    #expect(record.phase == .training && record.step == 41)
    #expect(record.usualSeconds == 0.5 && record.limitSeconds == 120)
    #expect(abs(record.lastBeat - Date().timeIntervalSince1970) < 5)
    #expect(record.ending == nil && record.signal == nil)
    let communicator = try #require(record.communicators.first)
    #expect(communicator.id == 77 && communicator.name == "gradients (data)" && communicator.members == [2, 5, 69])
    #expect(communicator.operations.map(\.sequence) == [1, 2])
    #expect(communicator.operations.map(\.isOpen) == [false, true])
    #expect(communicator.operations.map(\.isWaiting) == [true, false])
    #expect(communicator.operations[1].name == "MPI_Allreduce" && communicator.operations[1].bytes == 16)
    #expect(communicator.operations[1].site == "Training/StepReduction.swift:7")

    open.wait()
    box.end(.failure, exitCode: 64, sentence: "no data")
    box.end(.normal, exitCode: 0)  // the first one counts
    record = try #require(FlightRecord(path: FlightRecorder.path(folder: folder, rank: 2)))
    #expect(record.communicators[0].operations[1].isWaiting)
    #expect(record.ending?.kind == .failure && record.ending?.exitCode == 64 && record.ending?.sentence == "no data")
  }

  @Test func aRingKeepsTheLastOperations() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let ring = try #require(try box().claim(id: 1, name: "world", members: [0, 1, 2]))
    let first = enter(ring, 1, waits: false)
    for sequence in 2...100 as ClosedRange<UInt64> { enter(ring, sequence).finish() }
    first.finish()  // its slot has been reused
    let operations = try #require(FlightRecord(path: FlightRecorder.path(folder: folder, rank: 0)))
      .communicators[0].operations
    #expect(operations.map(\.sequence) == Array(69...100))
    #expect(operations.last?.bytes == 800)
  }

  @Test func ringsAreGivenBack() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let box = try box()
    let rings = (1...16).compactMap { box.claim(id: $0, name: "a", members: [0]) }
    #expect(rings.count == 16)
    #expect(box.claim(id: 17, name: "b", members: [0]) == nil)
    _ = enter(rings[3], 1)
    rings[3].release()
    let again = box.claim(id: 18, name: "c", members: [1])
    #expect(again != nil)
    let record = try #require(FlightRecord(path: FlightRecorder.path(folder: folder, rank: 0)))
    let communicator = try #require(record.communicators.first { $0.id == 18 })
    #expect(communicator.operations.isEmpty && communicator.members == [1] && communicator.name == "c")
  }

  @Test func onlyTheNewestAttemptCounts() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for rank in 0..<3 { _ = try box(rank: rank, ranks: 3, attempt: 1) }
    let stale = try box(rank: 0, ranks: 3, attempt: 2)
    _ = try box(rank: 0, ranks: 2, attempt: 3)
    _ = try box(rank: 1, ranks: 2, attempt: 3)
    stale.enter(.training, step: 99)  // a process of an earlier attempt that resumes
    let records = try FlightRecord.newest(in: folder)
    #expect(records.map(\.rank) == [0, 1])
    #expect(records.allSatisfy { $0.attempt == 3 && $0.step == 0 })
  }

  @Test func withoutRecords() {
    #expect { try RunDiagnosis(run: "/nonexistent") } throws: { ($0 as? ForgeError)?.exitCode == 64 }
  }

  @Test func aFolderThatCannotBeWritten() {
    #expect { try FlightRecorder(folder: "/proc/none", rank: 0, ranks: 1, attempt: 1) } throws: {
      ($0 as? ForgeError)?.exitCode == 75
    }
  }

  /// The child is killed in the middle of an operation, which is in its file.
  @Test func survivesTheProcess() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let box = try box(rank: 1)
    let ring = try #require(box.claim(id: 1, name: "world", members: [0, 1, 2]))
    typealias Fork = @convention(c) () -> pid_t
    let fork = unsafeBitCast(try #require(dlsym(nil, "fork")), to: Fork.self)
    let child = fork()
    if child == 0 {
      // Nothing here allocates: other threads of the parent may have held locks.
      box.enter(.training, step: 12)
      enter(ring, 1).finish()
      _ = enter(ring, 2)
      kill(getpid(), SIGKILL)
    }
    var status: Int32 = 0
    #expect(waitpid(child, &status, 0) == child)
    #expect(status & 0x7f == SIGKILL)
    let record = try #require(FlightRecord(path: FlightRecorder.path(folder: folder, rank: 1)))
    #expect(record.phase == .training && record.step == 12)
    #expect(record.communicators[0].operations.map(\.isOpen) == [false, true])
  }

  /// One thread writes as fast as it can; every read in between is consistent.
  @Test func readingWhileWriting() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let ring = try #require(try box().claim(id: 1, name: "world", members: [0]))
    let writer = Thread {
      for sequence in 1...400_000 as ClosedRange<UInt64> { enter(ring, sequence).finish() }
    }
    writer.start()
    var read = 0
    while !writer.isFinished || read == 0 {
      let record = try #require(FlightRecord(path: FlightRecorder.path(folder: folder, rank: 0)))
      let operations = record.communicators[0].operations
      #expect(operations.allSatisfy { $0.bytes == 8 * Int($0.sequence) && $0.name == "MPI_Allreduce" })
      read += operations.count
    }
    #expect(read > 0)
  }

  @Test func processes() throws {
    let start = try #require(ProcessTable.start(of: getpid()))
    #expect(ProcessTable.state(of: getpid(), start: start) == .alive)
    #expect(ProcessTable.state(of: getpid(), start: start + 1) == .gone)
    let child = Process()
    child.executableURL = URL(filePath: "/bin/sleep")
    child.arguments = ["60"]
    try child.run()
    let pid = child.processIdentifier
    let began = try #require(ProcessTable.start(of: pid))
    kill(pid, SIGSTOP)
    var state = ProcessTable.State.alive
    for _ in 0..<100 where state == .alive {
      usleep(10_000)
      state = ProcessTable.state(of: pid, start: began)
    }
    #expect(state == .stopped)
    kill(pid, SIGKILL)
    child.waitUntilExit()
    #expect(ProcessTable.state(of: pid, start: began) == .gone)
  }
}
