import Kernels
import MPI
import Models
import Parallelism
import Sharding
import Testing

/// Token dispatch: rows reach the experts that they chose and return changed by them, shadowed experts have their owners'
/// weights, and their gradients come back. Values identify their rank and expert.
@Suite struct ExpertDispatcherTests {
  private static let (experts, columns, expertSize) = (5, 3, 4)

  /// Rows of `rank` for an expert in a micro-step: many for the first expert, none here and there, none at all for rank 1 in
  /// the second micro-step, where it has no micro-batch.
  private static func count(_ rank: Int, _ expert: Int, _ tokenDispatch: Int) -> Int {
    rank == 1 && tokenDispatch == 1 ? 0 : expert == 0 ? 9 + rank : (rank + 2 * expert + tokenDispatch) % 4
  }

  private static func element(_ rank: Int, _ row: Int, _ column: Int) -> Float {
    Float(rank * 1000 + row * 10 + column)
  }
  private static func weight(_ expert: Int, _ place: Int) -> Float { Float(expert * 10 + place + 1) }

  @Test(arguments: [(1, 1), (2, 2), (3, 3), (4, 2), (4, 4)], [ExpertShadowing.never, .always])
  func rowsMeetTheirExperts(_ job: (ranks: Int, degree: Int), shadows: ExpertShadowing) throws {
    let shadowed = try InProcessRanks.run(ranks: job.ranks) { world in
      let mesh = try ProcessMesh(world: world, expert: job.degree)
      let placement = ExpertPlacement(experts: Self.experts, ranks: job.ranks, degree: job.degree)
      let dispatcher = try ExpertDispatcher(
        placement, group: mesh[.expert], shadows: shadows, usesTimings: false, threads: 1)
      try ContractViolation.unless(
        dispatcher.localExperts == placement.experts(at: mesh[.expert].rank), world, "experts of another place")
      // Collected, because the transfers of a micro-step must be waited for whatever they delivered.
      var expectations = Expectations()
      var shadowed = 0
      for tokenDispatch in 0..<3 {
        shadowed += try Self.play(tokenDispatch, dispatcher, place: mesh[.expert].rank, rank: world.rank, &expectations)
      }
      try expectations.verify(world)
      return shadowed
    }
    #expect((shadowed.reduce(0, +) > 0) == (shadows == .always && job.degree > 1))
  }

  /// - Parameter place: of the rank, in its group of neighbours.
  /// - Returns: this rank's experts that were shadowed.
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
    let (received, results) = (part(2 * rows, room), part(2 * rows + room, room))
    for row in 0..<rows { for column in 0..<columns { own.base[row * columns + column] = element(rank, row, column) } }

    let tokenDispatch = dispatcher.beginDispatch(offsets.buffer, timing: .unknown)
    let dispatches = (0..<tokenDispatch.chunks).map {
      dispatcher.startDispatch($0, of: tokenDispatch, from: own, to: received)
    }
    let local = dispatcher.localExperts
    let weights = Arena<Float>(count: local.count * expertSize)
    for (index, expert) in local.enumerated() {
      for element in 0..<expertSize { weights.buffer[index * expertSize + element] = weight(expert, element) }
    }
    let hosted = Arena<Float>(count: expertSize)
    let shadowing =
      dispatcher.shadowsExperts
      ? dispatcher.startShadowing(tokenDispatch, from: weights.buffer, to: hosted.buffer) : nil
    var lastReturn = 0
    for chunk in 0..<tokenDispatch.chunks {
      try dispatcher.wait(for: dispatches[chunk])
      for segment in tokenDispatch.agreed.received[chunk] {
        let source = firstRank + segment.source
        let first = (0..<segment.expert).reduce(0) { $0 + count(source, $1, number) }
        expectations.expect(local.contains(segment.expert) && segment.source != place, "a row came to the wrong place")
        expectations.expectEqual(segment.origin.count, count(source, segment.expert, number), "rows of rank \(source)")
        for (place, row) in segment.origin.enumerated() {
          for column in 0..<columns {
            let value = received.base[row * columns + column]
            expectations.expectEqual(value, element(source, first + place, column), "a row of rank \(source)")
            results.base[row * columns + column] = value + Float(segment.expert) / 8
          }
        }
      }
      lastReturn = dispatcher.startReturn(chunk, of: tokenDispatch, from: results, to: returned)
    }
    // Local rows, and those of a hosted expert, are not sent.
    let plan = tokenDispatch.agreed
    let localRows =
      tokenDispatch.own.joined().map { ($0.expert, $0.origin) } + (plan.hosted.map { [($0.expert, $0.origin)] } ?? [])
    try dispatcher.wait(for: lastReturn)
    for (expert, range) in localRows {
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
    guard let shadowing else { return 0 }

    try dispatcher.wait(for: shadowing)
    let gradient = Arena<Float>(count: expertSize)
    let gradients = Arena<Float>(count: ExpertShadow.maxShadowed * expertSize)
    if let expert = plan.hosted?.expert {
      for element in 0..<expertSize {
        expectations.expectEqual(hosted.buffer[element], weight(expert, element), "expert \(expert), hosted")
        gradient.buffer[element] = Float(rank) + weight(expert, element) / 128
      }
    }
    let last = dispatcher.startReturningShadowGradient(tokenDispatch, from: gradient.buffer, to: gradients.buffer)
    try dispatcher.wait(for: last)
    for (index, shadow) in plan.shadowed.enumerated() {
      for element in 0..<expertSize {
        expectations.expectEqual(
          gradients.buffer[index * expertSize + element],
          Float(firstRank + shadow.host) + weight(shadow.expert, element) / 128,
          "a gradient of expert \(shadow.expert)")
      }
    }
    return plan.shadowed.count
  }
}
