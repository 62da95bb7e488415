import Kernels
import MPI
import Parallelism

/// Measures the reduction and the gather of `count` elements in units of 4 Mi, alone and behind computation, against
/// `MPI_Allreduce`; each is the best of several, in milliseconds.
func benchmarkReducer(_ world: Communicator, count: Int) throws {
  let arenas = Arenas(count)
  let step = min(count, 4 << 20)
  let units = stride(from: 0, to: count, by: step).map { $0..<min($0 + step, count) }
  let reducer = try arenas.reducer(world, units)
  func best(_ body: () throws -> Void) throws -> Double {
    var best = Double.infinity
    for _ in 0..<8 {
      try world.barrier()
      let start = ContinuousClock.now
      try body()
      best = min(best, try world.allReduce((ContinuousClock.now - start) / .milliseconds(1), .max))
    }
    return best
  }
  let sum = try best {
    for unit in units.indices { reducer.submit(unit: unit) }
    try reducer.wait()
  }
  let gather = try best {
    for unit in units.indices { reducer.submitGather(unit: unit) }
    for unit in units.indices { try reducer.waitGather(unit: unit) }
  }
  let allReduce = try best { try world.allReduce(arena: arenas.gradient.pointer, .sum) }
  let computation = try best {
    for _ in units { compute() }
  }
  let both = try best {
    for unit in units.indices {
      compute()
      reducer.submit(unit: unit)
    }
    try reducer.wait()
  }
  if world.rank == 0 {
    print(
      """
      \(count) elements on \(world.size) ranks: sum \(sum) ms, gather \(gather) ms, MPI_Allreduce \(allReduce) ms
      behind \(computation) ms of computation the sum costs \(both - computation) ms
      """)
  }
}

/// About 100 ms of work in the processor's cache.
@inline(never)
private func compute() {
  var state: UInt64 = 1
  for _ in 0..<60_000_000 { state = (state &* 6_364_136_223_846_793_005 &+ 1) ^ (state >> 29) }
  precondition(state != 0, "a result that is used cannot be optimised away")
}
