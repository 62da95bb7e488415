import Glibc
import MPI
import Parallelism
import Support
import Synchronization
import Testing

/// Failure of one rank: no other rank waits for it.
@Suite struct FailureTests {
  private struct Trouble: Error, Equatable { let rank: Int }

  /// Runs a job that has to throw at once: it takes milliseconds, and far less than the timeout where tests share few cores.
  private func failure<E: Error>(
    _ type: E.Type, ranks: Int, timeout: Duration = .seconds(30),
    _ body: @escaping @Sendable (Communicator) throws -> Void
  ) throws -> E {
    let began = ContinuousClock.now
    let error = try #require(throws: E.self) { try InProcessRanks.run(ranks: ranks, timeout: timeout, body) }
    #expect(ContinuousClock.now - began < .seconds(5), "\(error)")
    return error
  }

  @Test(arguments: 2...4) func aRankThatThrowsEndsTheOthers(ranks: Int) throws {
    let told = Mutex<[String]>([])
    for failing in 0..<ranks {
      let error = try failure(Trouble.self, ranks: ranks) { world in
        try world.barrier()
        if world.rank == failing {
          usleep(20_000)
          throw Trouble(rank: failing)
        }
        do {
          _ = try world.allReduce(Int64(1), .sum)
        } catch let error as MPIError {
          // A rank that continues after the error fails again.
          let goesOn = (try? world.barrier()) != nil || (try? world.startBarrier().wait()) != nil
          told.withLock { $0.append("\(error), \(error.exitCode), goes on: \(goesOn)") }
          throw error
        }
      }
      #expect(error == Trouble(rank: failing))
      let sentences = told.withLock { sentences in
        defer { sentences = [] }
        return sentences
      }
      #expect(sentences.count == ranks - 1)
      for sentence in sentences {
        let reason = "MPI_Allreduce failed: no. 2 of 'world' cannot be completed: rank \(failing) has failed"
        #expect(sentence.hasPrefix(reason), "\(sentence)")
        #expect(sentence.hasSuffix(", 75, goes on: false"), "\(sentence)")
      }
    }
  }

  @Test func aRankThatThrowsEndsThoseThatLookOrHaveDropped() throws {
    let error = try failure(Trouble.self, ranks: 4) { world in
      switch world.rank {
      case 0:
        usleep(20_000)
        throw Trouble(rank: 0)
      case 1: try world.startBarrier().wait(pollingEvery: 100, sleepsFirst: true)
      case 2:
        var request = try world.startBarrier()
        while try !request.isComplete() {}
      default: _ = try world.startBarrier()
      }
    }
    #expect(error == Trouble(rank: 0))
  }

  @Test func aRankThatThrowsEndsAStepUnderWay() throws {
    let error = try failure(ForgeError.self, ranks: 3) { world in
      let arenas = Arenas()
      let reducer = try arenas.reducer(world, reducedUnits)
      reducer.submit(unit: 5)
      if world.rank == 1 { throw ForgeError.badInput("the step cannot be completed", code: .invalidSetting) }
      reducer.submit(unit: 4)
      try reducer.wait()
    }
    #expect(error.description == "the step cannot be completed")
  }

  @Test func ofSeveralErrorsTheFirstIsThrown() throws {
    let error = try failure(Trouble.self, ranks: 4) { world in
      if world.rank != 2 { usleep(50_000) }
      throw Trouble(rank: world.rank)
    }
    #expect(error == Trouble(rank: 2))
  }

  @Test(arguments: [false, true]) func aRankThatReturnsEarlyIsNotWaitedFor(looking: Bool) throws {
    let error = try failure(MPIError.self, ranks: 3) { world in
      if world.rank == 1 { return }
      try looking ? world.startBarrier().wait(pollingEvery: 100) : world.barrier()
    }
    #expect(
      error.description
        == "\(looking ? "MPI_Ibarrier" : "MPI_Barrier") failed: no. 1 of 'world' waits for rank 1, which has returned")
  }

  @Test func aRankThatReturnsIsNotMissedWhereItIsNoMember() throws {
    let sums = try InProcessRanks.run(ranks: 3) { world -> Int64? in
      let pair = try world.split(color: world.rank == 1 ? nil : 0)
      if world.rank == 1 { return nil }
      usleep(10_000)
      return try pair?.allReduce(Int64(world.rank), .sum)
    }
    #expect(sums == [2, nil, 2])
  }

  @Test func aRankThatNeverComesIsNamed() throws {
    let error = try failure(MPIError.self, ranks: 2, timeout: .milliseconds(100)) { world in
      if world.rank == 1 { usleep(300_000) } else { try world.barrier() }
    }
    #expect(
      error.description.hasPrefix("MPI_Barrier failed: no. 1 of 'world' has waited 0.1 seconds for rank 1")
        && error.exitCode == 75)
  }

  @Test func ranksThatBeginDifferentOperationsAreTold() throws {
    let kind = try failure(MPIError.self, ranks: 2) { world in
      if world.rank == 0 { try world.barrier() } else { _ = try world.allReduce(Int64(1), .sum) }
    }
    #expect(kind.description.contains("MPI_Barrier") && kind.description.contains("MPI_Allreduce"), "\(kind)")
    #expect(kind.exitCode == 70)
    let count = try failure(MPIError.self, ranks: 2) { world in
      var values = [Double](repeating: 0, count: 3 + world.rank)
      var span = values.mutableSpan
      try world.allReduce(&span, .sum)
    }
    #expect(count.description.contains("3 elements") && count.description.contains("4 elements"), "\(count)")
    let truncated = try failure(MPIError.self, ranks: 2) { world in
      let (send, receive) = (
        RankCounts(contiguous: [2, 2]), RankCounts(contiguous: world.rank == 0 ? [2, 2] : [1, 2])
      )
      let outgoing: [Float] = [1, 2, 3, 4]
      var incoming: [Float] = [0, 0, 0, 0]
      var span = incoming.mutableSpan
      try world.allToAll(from: outgoing.span, into: &span, plan: ExchangePlan(send: send, receive: receive))
    }
    #expect(truncated.description.contains("brings 2 elements from rank 0 of the group to rank 1"), "\(truncated)")
  }

  @Test func whatIsSentMustNotChangeUnderWay() throws {
    let error = try failure(MPIError.self, ranks: 2) { world in
      var values: [Int64] = [1, 2]
      var sums: [Int64] = [0, 0]
      try values.withUnsafeMutableBufferPointer { values in
        try sums.withUnsafeMutableBufferPointer { sums in
          let request = try world.startAllReduce(arena: UnsafeBufferPointer(values), into: sums, .sum)
          if world.rank == 1 { values[1] = 3 }
          try request.wait()
        }
      }
    }
    #expect(error.description.contains("has sent what rank 1 of the group changed while it was under way"), "\(error)")
  }

  @Test func togetherEveryRankThrowsTheLowestOnesError() throws {
    let sentences = try InProcessRanks.run(ranks: 4) { world in
      do {
        try world.together {
          if world.rank > 1 { throw ForgeError.tryAgain("disk \(world.rank) is full", code: .diskFull) }
        }
        return "none"
      } catch let error as ForgeError { return "\(error)" }
    }
    #expect(sentences == Array(repeating: "rank 2: disk 2 is full", count: 4))
  }

  @Test func theFieldsOfAnErrorTravelWithIt() throws {
    let errors = try InProcessRanks.run(ranks: 3) { world -> ForgeError? in
      do {
        try world.together {
          guard world.rank == 1 else { return }
          throw ForgeError.badInput("a\nb", hint: "wait", code: .runInUse, keyPath: "run.directory")
        }
        return nil
      } catch let error as ForgeError { return error }
    }
    for error in errors {
      #expect(error?.description == "rank 1: a\u{FFFD}b; wait" && error?.hint == "wait" && error?.kind == .badInput)
      #expect(error?.code == .runInUse && error?.keyPath == "run.directory")
    }
  }
}
