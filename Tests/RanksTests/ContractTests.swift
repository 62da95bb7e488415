import MPI
import Testing

/// What did not hold on a rank. An expectation of Swift Testing does not know, on the thread of a rank, whose test it is.
struct ContractViolation: Error, CustomStringConvertible {
  let description: String

  /// Throws unless `condition` holds, which ends all ranks.
  static func unless(_ condition: Bool, _ world: Communicator, _ sentence: @autoclosure () -> String) throws {
    if !condition { throw ContractViolation(description: "rank \(world.rank): \(sentence())") }
  }
}

extension Expectations {
  /// Throws what did not hold on this rank.
  func verify(_ world: Communicator) throws {
    try ContractViolation.unless(failures.isEmpty, world, failures.prefix(5).joined(separator: "; "))
  }
}

extension RankTest: CustomTestStringConvertible {
  var testDescription: String { name }

  /// Runs it on ranks that are threads.
  func run(ranks: Int) throws {
    try InProcessRanks.run(ranks: ranks) { [body] world in
      var expectations = Expectations()
      try body(world, &expectations)
      try expectations.verify(world)
    }
  }
}

/// The contract that MPI fulfils under `mpi-tests`, among threads.
@Suite struct ContractTests {
  @Test(arguments: collectiveContract, 1...4) func collectives(_ test: RankTest, ranks: Int) throws {
    try test.run(ranks: ranks)
  }

  @Test(arguments: requestContract + orderContract, 1...4) func requests(_ test: RankTest, ranks: Int) throws {
    try test.run(ranks: ranks)
  }

  @Test(arguments: reducerContract, 1...4) func reducer(_ test: RankTest, ranks: Int) throws {
    try test.run(ranks: ranks)
  }

  /// MPI leaves the order to its library; here it is that of the ranks.
  @Test(arguments: 1...4) func floatingPointNumbersAreAddedInTheOrderOfRanks(ranks: Int) throws {
    let sums = try InProcessRanks.run(ranks: ranks) { try $0.allReduce([1e30, 1, -1e30, 0.5][$0.rank], .sum) }
    #expect(sums == Array(repeating: [1e30, 1e30, 0, 0.5][ranks - 1], count: ranks))
  }
}
