import Glibc
import MPI
import Support

/// The distributed tests: every rank of a job runs `mpi-tests MODE`; `Tests/Distributed/run` starts the jobs and checks
/// their exit codes.
@main
struct DistributedTests {
  static func main() {
    let arguments = Array(CommandLine.arguments.dropFirst())
    let number = arguments.dropFirst().first.flatMap { Int($0) } ?? 0
    Launcher.run(program: "mpi-tests") { world in
      switch arguments.first {
      case "collectives": return try run(collectiveContract, on: world)
      case "requests": return try run(requestContract + orderContract, on: world)
      case "reducer": return try run(reducerContract + reducerTests, on: world)
      case "engine": return try run(engineTests, on: world)
      case "black-box": return try run(blackBoxTests, on: world)
      case "black-box-benchmark":
        try benchmarkBlackBox(world)
        return 0
      case "large": return try run(largeTests, on: world)
      case "reducer-benchmark":
        try benchmarkReducer(world, count: max(number, 1))
        return 0
      case "throw-inside-step":
        try failInsideStep(world, failing: number)
        return 0
      case "throw-one":
        if world.rank == number { throw ForgeError.badInput("rank \(number) cannot go on", code: .invalidSetting) }
        while true { try world.barrier() }
      case "throw-some":
        if world.rank >= number { throw ForgeError.tryAgain("disk of rank \(world.rank) is full", code: .diskFull) }
        while true { try world.barrier() }
      case "throw-all":
        throw ForgeError.badInput("run.yaml:3: unknown key 'stpes'; did you mean 'steps'?", code: .unknownSetting)
      case "throw-different":
        throw ForgeError.badInput("rank \(world.rank) has a reason of its own", code: .invalidSetting)
      case "mpi-error":
        var value: [Int32] = [1]
        var span = value.mutableSpan
        try world.broadcast(&span, root: world.size)
        return 0
      case "exit": return Int32(number)
      case "kill":
        if world.rank == number { raise(SIGKILL) }
        while true { try world.barrier() }
      case "crowded":
        let yields = getenv("OMPI_MCA_mpi_yield_when_idle").map { String(cString: $0) } ?? "unset"
        for _ in 0..<50 { try world.barrier() }
        if world.rank == 0 { print("yield \(yields)") }
        return 0
      case "room":
        let before = ProcessorAffinity.allowedCores
        let warning = ProcessorAffinity.makeRoom(forThreads: number)
        if world.rank == 0 { print("cores \(before) -> \(ProcessorAffinity.allowedCores): \(warning ?? "enough")") }
        return 0
      default:
        throw ForgeError.badInput("name one of the modes of Tests/Distributed/Main.swift", code: .invalidArgument)
      }
    }
  }
}

/// Runs `tests` on all ranks; a test fails when it fails on any of them.
///
/// - Returns: the exit code, 1 when a test failed.
func run(_ tests: [RankTest], on world: Communicator) throws -> Int32 {
  var failed = 0
  for test in tests {
    var expectations = Expectations()
    try test.body(world, &expectations)
    for failure in expectations.failures.prefix(5) {
      print("  rank \(world.rank): \(test.name): \(failure.prefix(300))")
    }
    fflush(nil)
    let failures = try world.allReduce(Int64(expectations.failures.count), .sum)
    if failures > 0 { failed += 1 }
    if world.rank == 0 { print("\(failures == 0 ? "ok    " : "FAILED") \(test.name) (\(world.size) ranks)") }
  }
  return failed == 0 ? 0 : 1
}
