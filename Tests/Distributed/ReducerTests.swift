import Glibc
import MPI
import Parallelism
import Support

/// Tests of the exact gradient reduction that need ranks with processor time of their own.
let reducerTests: [RankTest] = [
  RankTest("waiting for a slow rank leaves the processor alone") { world, expectations in
    let arenas = Arenas()
    let reducer = try arenas.reducer(world, reducedUnits)
    try world.barrier()
    if world.size > 1 && world.rank == 0 { usleep(600_000) }
    let before = processorSeconds()
    reducer.submit(unit: 0)
    try reducer.wait()
    if world.size > 1 && world.rank > 0 {
      let used = processorSeconds() - before
      expectations.expect(used < 0.2, "\(used) s of processor time while waiting")
      expectations.expect(reducer.exposedCommunicationSeconds > 0.4, "\(reducer.exposedCommunicationSeconds) s exposed")
    }
  }
]

/// The processor time that this process has used, in seconds.
private func processorSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// A rank fails in the middle of a step, while the other ranks wait for its unit.
func failInsideStep(_ world: Communicator, failing rank: Int) throws {
  let arenas = Arenas()
  let reducer = try arenas.reducer(world, reducedUnits)
  reducer.submit(unit: 5)
  if world.rank == rank { throw ForgeError.badInput("the step cannot be completed", code: .invalidSetting) }
  reducer.submit(unit: 4)
  try reducer.wait()
}
