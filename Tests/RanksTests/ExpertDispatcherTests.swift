import Kernels
import MPI
import Models
import Parallelism
import Sharding
import Testing

/// Rows reach the experts that they chose and come home changed by them, lent experts are what their lenders have, and
/// their gradients come back: with numbers that say whose they are.
@Suite struct ExpertDispatcherTests {
  private static let (experts, columns, expertSize) = (5, 3, 4)

  /// Rows of `rank` for an expert in a round: many for the first expert, none here and there, none at all for rank 1 in
  /// the second round, which has no micro-batch.
  private static func count(_ rank: Int, _ expert: Int, _ round: Int) -> Int {
    rank == 1 && round == 1 ? 0 : expert == 0 ? 9 + rank : (rank + 2 * expert + round) % 4
  }

  private static func element(_ rank: Int, _ row: Int, _ column: Int) -> Float {
    Float(rank * 1000 + row * 10 + column)
  }
  private static func weight(_ expert: Int, _ place: Int) -> Float { Float(expert * 10 + place + 1) }

  @Test(arguments: [(1, 1), (2, 2), (3, 3), (4, 2), (4, 4)], [ExpertShadowing.never, .always])
  func rowsMeetTheirExperts(_ job: (ranks: Int, degree: Int), shadows: ExpertShadowing) throws {
    let lent = try InProcessRanks.run(ranks: job.ranks) { world in
      let mesh = try ProcessMesh(world: world, expert: job.degree)
      let placement = ExpertPlacement(experts: Self.experts, ranks: job.ranks, degree: job.degree)
      let dispatcher = try ExpertDispatcher(
        placement, group: mesh[.expert], shadows: shadows, followsPace: false, threads: 1)
      try ContractViolation.unless(
        dispatcher.localExperts == placement.experts(at: mesh[.expert].rank), world, "experts of another place")
      // Collected, because the transfers of a round must be waited for whatever they brought.
      var expectations = Expectations()
      var lent = 0
      for round in 0..<3 {
        lent += try Self.play(round, dispatcher, place: mesh[.expert].rank, rank: world.rank, &expectations)
      }
      try expectations.verify(world)
      return lent
    }
    #expect((lent.reduce(0, +) > 0) == (shadows == .always && job.degree > 1))
  }

  /// - Parameter place: of the rank, in its group of neighbours.
  /// - Returns: the experts that this rank has lent.
  private static func play(
    _ number: Int, _ dispatcher: ExpertDispatcher, place: Int, rank: Int, _ expectations: inout Expectations
  ) throws -> Int {
    let firstRank = rank - place
    let counts = (0..<experts).map { count(rank, $0, number) }
    let rows = counts.reduce(0, +)
    let offsets = Arena<Int32>(count: experts + 1)
    for expert in 0..<experts { offsets.buffer[expert + 1] = offsets.buffer[expert] + Int32(counts[expert]) }
    let room = 8 * 64
    let memory = Arena<Float>(count: (2 * rows + 2 * room) * columns)
    defer { withExtendedLifetime(memory) {} }
    func part(_ first: Int, _ count: Int) -> Matrix {
      memory.buffer[first * columns..<(first + count) * columns].matrix(count, columns)
    }
    let (own, returned) = (part(0, rows), part(rows, rows))
    let (visiting, results) = (part(2 * rows, room), part(2 * rows + room, room))
    for row in 0..<rows { for column in 0..<columns { own.base[row * columns + column] = element(rank, row, column) } }

    let round = dispatcher.startRound(offsets.buffer, pace: .unknown)
    let dispatches = (0..<round.chunks).map { dispatcher.startDispatch($0, of: round, from: own, to: visiting) }
    let local = dispatcher.localExperts
    let weights = Arena<Float>(count: local.count * expertSize)
    for (index, expert) in local.enumerated() {
      for element in 0..<expertSize { weights.buffer[index * expertSize + element] = weight(expert, element) }
    }
    let borrowed = Arena<Float>(count: expertSize)
    let lending =
      dispatcher.lendsExperts ? dispatcher.startLending(round, from: weights.buffer, to: borrowed.buffer) : nil
    var lastReturn = 0
    for chunk in 0..<round.chunks {
      try dispatcher.wait(for: dispatches[chunk])
      for segment in round.agreed.visiting[chunk] {
        let source = firstRank + segment.source
        let first = (0..<segment.expert).reduce(0) { $0 + count(source, $1, number) }
        expectations.expect(local.contains(segment.expert) && segment.source != place, "a row came to the wrong place")
        expectations.expectEqual(segment.origin.count, count(source, segment.expert, number), "rows of rank \(source)")
        for (place, row) in segment.origin.enumerated() {
          for column in 0..<columns {
            let value = visiting.base[row * columns + column]
            expectations.expectEqual(value, element(source, first + place, column), "a row of rank \(source)")
            results.base[row * columns + column] = value + Float(segment.expert) / 8
          }
        }
      }
      lastReturn = dispatcher.startReturn(chunk, of: round, from: results, to: returned)
    }
    // Own rows whose experts are here, or borrowed, do not travel.
    let plan = round.agreed
    let staying =
      round.own.joined().map { ($0.expert, $0.origin) } + (plan.borrowed.map { [($0.expert, $0.origin)] } ?? [])
    try dispatcher.wait(for: lastReturn)
    for (expert, range) in staying {
      for index in range.lowerBound * columns..<range.upperBound * columns {
        returned.base[index] = own.base[index] + Float(expert) / 8
      }
    }
    for expert in 0..<experts {
      for row in Int(offsets.buffer[expert])..<Int(offsets.buffer[expert + 1]) {
        for column in 0..<columns {
          let expected = element(rank, row, column) + Float(expert) / 8
          expectations.expectEqual(returned.base[row * columns + column], expected, "row \(row), back home")
        }
      }
    }
    guard let lending else { return 0 }

    try dispatcher.wait(for: lending)
    let gradient = Arena<Float>(count: expertSize)
    let gradients = Arena<Float>(count: ExpertShadow.mostLent * expertSize)
    if let expert = plan.borrowed?.expert {
      for element in 0..<expertSize {
        expectations.expectEqual(borrowed.buffer[element], weight(expert, element), "expert \(expert), lent")
        gradient.buffer[element] = Float(rank) + weight(expert, element) / 128
      }
    }
    let last = dispatcher.startReturningGradient(round, from: gradient.buffer, to: gradients.buffer)
    try dispatcher.wait(for: last)
    for (index, shadow) in plan.lent.enumerated() {
      for element in 0..<expertSize {
        expectations.expectEqual(
          gradients.buffer[index * expertSize + element],
          Float(firstRank + shadow.borrower) + weight(shadow.expert, element) / 128,
          "a gradient of expert \(shadow.expert)")
      }
    }
    return plan.lent.count
  }
}
