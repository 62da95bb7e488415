import Kernels
import MPI
import Models
import Parallelism
import Sharding
import Testing

/// Parameters are where a pass computes with them, and gradient sums are complete where they are owned, however the state
/// is sharded: with numbers instead of a model, so that every element can be told.
@Suite struct ShardedStateTests {
  /// Element `index` of the parameters, after `version` updates.
  private static func parameter(_ index: Int, _ version: Int) -> Float { Float((index + 1000 * version) % 100_003) }

  /// What `rank` adds to the gradient of an element in a round: a multiple of 2⁻⁶, so that fixed point is exact.
  private static func gradient(_ rank: Int, _ index: Int, round: Int) -> Float {
    Float((rank * 31 + index * 7 + round * 5) % 13 - 6) / 64
  }

  private static let jobs = JobLayout.all()

  @Test(arguments: jobs) func aPassFindsItsParametersAndSumsItsGradients(_ job: JobLayout) throws {
    try InProcessRanks.run(ranks: job.ranks) { world in
      let rank = try TinyRank(.sparse, job, world)
      rank.fillOwned { Self.parameter($0, 0) }
      try rank.state.gatherOwned()
      rank.state.beginSums()
      for round in 0..<2 {
        rank.state.beginRound(rank.engine.decoder.trainingSchedule, last: round == 1)
        try rank.pass {
          Self.parameter($0, 0)
        } gradient: {
          Self.gradient(world.rank, $0, round: round)
        }
      }
      try rank.state.waitForSums()
      try rank.expectSums { rank, index in (0..<2).reduce(0) { $0 + Self.gradient(rank, index, round: $1) } }

      // An update of what the rank updates, which the next forward pass must find.
      for range in rank.state.updated {
        for index in range { rank.parameters[index] = Self.parameter(index, 1) }
      }
      rank.state.gatherUpdated()
      rank.state.beginRound(rank.engine.decoder.evaluationSchedule, last: false)
      try rank.forward { Self.parameter($0, 1) }
      let weights = try rank.weights()
      let wrong = weights.indices.first { weights[$0] != Self.parameter($0, 1) }
      try ContractViolation.unless(wrong == nil, world, "parameter \(wrong ?? 0) after all")
    }
  }

  /// What a fully sharded rank does not own takes no memory between passes.
  @Test(arguments: jobs.filter { $0.sharding == .full && $0.ranks > 1 }) func whatIsReleasedIsGone(_ job: JobLayout)
    throws
  {
    try InProcessRanks.run(ranks: job.ranks) { world in
      let rank = try TinyRank(.sparse, job, world)
      rank.fillOwned { 1 + Self.parameter($0, 0) }
      rank.state.beginRound(rank.engine.decoder.evaluationSchedule, last: false)
      try rank.forward { 1 + Self.parameter($0, 0) }
      for (piece, range) in rank.layout.pieces.enumerated() {
        let mine = rank.placement.owned[piece][world.rank]
        let wrong = range.first { (rank.parameters[$0] != 0) != mine.contains($0) }
        try ContractViolation.unless(wrong == nil, world, "parameter \(wrong ?? 0) of piece \(piece)")
      }
    }
  }
}

extension TinyRank {
  func fillOwned(_ value: (Int) -> Float) {
    for range in state.owned { for index in range { parameters[index] = value(index) } }
  }

  /// Acquires and releases as a decoder does, and expects these parameters.
  func forward(_ parameter: (Int) -> Float) throws {
    try forwardBlocks(parameter)
    try visit(layout.headPiece, parameter)
  }

  private func forwardBlocks(_ parameter: (Int) -> Float) throws {
    try visit(layout.embeddingPiece, parameter)
    for layer in layout.blocks.indices {
      try state.acquire(layout.blockPiece(layer))
      try expect(layout.blockPiece(layer), parameter)
      if let experts = layout.expertsPiece(layer) { try visit(experts, parameter) }
      state.release(layout.blockPiece(layer))
    }
  }

  /// A forward and a backward pass that adds a gradient to everything that this rank computes with.
  func pass(_ parameter: (Int) -> Float, gradient: (Int) -> Float) throws {
    try forwardBlocks(parameter)
    try visit(layout.headPiece, parameter) { try add(layout.headPiece, gradient) }
    for layer in layout.blocks.indices.reversed() {
      try visit(layout.blockPiece(layer), parameter) {
        if let experts = layout.expertsPiece(layer) {
          try visit(experts, parameter) { try add(experts, gradient) }
        }
        try add(layout.blockPiece(layer), gradient)
      }
    }
    try add(layout.embeddingPiece, gradient)
  }

  private func visit(_ piece: Int, _ parameter: (Int) -> Float, _ body: () throws -> Void = {}) throws {
    try state.acquire(piece)
    try expect(piece, parameter)
    try body()
    state.release(piece)
  }

  private func expect(_ piece: Int, _ parameter: (Int) -> Float) throws {
    let wrong = placement.computed(piece: piece, by: world.rank).first { parameters[$0] != parameter($0) }
    try ContractViolation.unless(wrong == nil, world, "parameter \(wrong ?? 0) of piece \(piece)")
  }

  private func add(_ piece: Int, _ gradient: (Int) -> Float) throws {
    let range = placement.computed(piece: piece, by: world.rank)
    let values = Arena<Float>(count: range.count)
    for (place, index) in range.enumerated() { values.buffer[place] = gradient(index) }
    try state.beginGradient(piece)
    engine.accumulator.add(values.buffer, at: range, compute: engine.compute)
    state.endGradient(piece)
  }

  /// Expects exact sums, over the ranks that hold an element, in all that this rank updates.
  ///
  /// - Parameter contribution: of a rank to an element.
  func expectSums(_ contribution: (Int, Int) -> Float) throws {
    for piece in layout.pieces.indices {
      let holders = placement.holders(piece: piece, of: world.rank)
      let wrong = state.updated[piece].first { index in
        let sum = holders.reduce(0) { $0 + contribution($1, index) }
        return engine.accumulator.sums[index] != Int64(Double(sum) * 0x1p52)
      }
      try ContractViolation.unless(wrong == nil, world, "sum \(wrong ?? 0) of piece \(piece)")
    }
  }
}
