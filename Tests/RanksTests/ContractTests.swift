import MPI
import Testing

/// An expectation that failed on a rank. Swift Testing's own cannot be used on the thread of a rank, which belongs to no test.
struct ContractViolation: Error, CustomStringConvertible {
  let description: String

  /// Throws unless `condition` holds, which ends all ranks.
  static func unless(_ condition: Bool, _ world: Communicator, _ sentence: @autoclosure () -> String) throws {
    if !condition { throw ContractViolation(description: "rank \(world.rank): \(sentence())") }
  }
}

extension Expectations {
  /// Throws the expectations that failed on this rank.
  func verify(_ world: Communicator) throws {
    try ContractViolation.unless(failures.isEmpty, world, failures.prefix(5).joined(separator: "; "))
  }
}

extension RankTest: CustomTestStringConvertible {
  var testDescription: String { name }

  /// Runs the test on ranks that are threads.
  func run(ranks: Int) throws {
    try InProcessRanks.run(ranks: ranks) { [body] world in
      var expectations = Expectations()
      try body(world, &expectations)
      try expectations.verify(world)
    }
  }
}

/// The communicator contract on threads; `mpi-tests` runs it with MPI.
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

  /// The order of a sum over ranks is up to an MPI library; here it is that of the ranks.
  @Test(arguments: 1...4) func floatingPointNumbersAreAddedInTheOrderOfRanks(ranks: Int) throws {
    let sums = try InProcessRanks.run(ranks: ranks) { try $0.allReduce([1e30, 1, -1e30, 0.5][$0.rank], .sum) }
    #expect(sums == Array(repeating: [1e30, 1e30, 0, 0.5][ranks - 1], count: ranks))
  }
}
