import Kernels
import MPI
import Models
import Optimizers
import Parallelism
import RunConfiguration

/// The usual gradient reduction: fp32 sums by `MPI_Allreduce`, behind the computation like the exact ones. The update stays sharded and
/// parameters are gathered, so that nothing but the sums differs.
final class PlainVariant: StepVariant, ParameterSharding {
  private let model: StepModel
  private let plain: PlainSums
  private let reducer: PlainReducer
  var sums: any GradientAccumulator { plain }
  var parameterSharding: any ParameterSharding { self }

  /// Collective.
  ///
  /// - Throws: `MPIError`.
  init(_ model: StepModel) throws {
    self.model = model
    plain = PlainSums(count: model.engine.layout.count)
    reducer = try PlainReducer(plain.memory, units: model.engine.layout.units, communicator: model.world)
  }

  func begin() {
    model.engine.state.gatherParameters()
    plain.restart()
  }

  func combine(_ values: inout [Int64]) throws {
    try values.withUnsafeMutableBufferPointer { try model.world.allReduce(arena: $0, .sum) }
  }

  func gradientNorm() throws -> Double {
    try reducer.wait()
    let squares = model.shardSumOfSquares(plain.memory.buffer) { [backend = model.engine.backend] in
      backend.sumsOfSquares($0, blockSize: $1, into: $2)
    }
    return try model.world.allReduce(squares, .sum).squareRoot()
  }

  func update(_ numbers: UpdateNumbers) {
    let settings = model.configuration.optimizer.adamW
    for part in model.engine.optimizer.optimizer.slices {
      guard let second = part.second else { preconditionFailure("plain sums are for AdamW") }
      let step = AdamWStep(
        learningRate: numbers.learningRate, beta1: settings.beta1, beta2: settings.beta2, epsilon: settings.epsilon,
        weightDecay: model.engine.layout.tensors[part.tensor].decays ? settings.weightDecay : 0, step: numbers.step)
      model.engine.backend.adamW(
        step, gradientScale: numbers.gradientScale, gradient: plain.memory.buffer[part.range], first: part.first,
        second: second, parameters: model.engine.parameters[part.range])
    }
  }

  func unshard(_ unit: Int) throws { try model.engine.state.unshard(unit) }
  func reshard(_ unit: Int) {}
  func beginGradient(_ unit: Int) {}
  func endGradient(_ unit: Int) {
    plain.complete(model.engine.layout.units[unit])
    reducer.submit(unit: unit)
  }
}

/// Gradients summed in fp32, in the order in which they come.
final class PlainSums: GradientAccumulator {
  /// `[parameters]`
  let memory: Arena<Float>
  /// Which elements have been written since a step began.
  private var written = RangeSet<Int>()

  init(count: Int) { memory = Arena(count: count) }

  /// As the exact sums: an element's first contribution replaces what is there.
  func restart() { written = RangeSet() }

  func complete(_ range: Range<Int>) {
    for range in unwritten(of: range) { memory.buffer[range].fill(0) }
  }

  /// The parts of a range that had not been written; marks all of it written.
  private func unwritten(of range: Range<Int>) -> [Range<Int>] {
    defer { written.insert(contentsOf: range) }
    return Array(RangeSet(range).subtracting(written).ranges)
  }

  func add(_ gradient: Buffer<Float>, at range: Range<Int>, backend: Backend) {
    let unwritten = unwritten(of: range)
    let isFirst = unwritten == [range]
    if !isFirst { unwritten.forEach { memory.buffer[$0].fill(0) } }
    let sum = memory.buffer[range]
    backend.team.forEachChunk(of: range.count, size: 1 << 15) { part, _ in
      if isFirst {
        (sum.base + part.lowerBound).update(from: gradient.base + part.lowerBound, count: part.count)
      } else {
        Self.add(gradient.base + part.lowerBound, part.count, to: sum.base + part.lowerBound)
      }
    }
  }

  func add(rows: Matrix, ids: Buffer<Int32>, at range: Range<Int>, backend: Backend) {
    complete(range)
    let sum = memory.buffer[range]
    backend.team.forEachChunk(of: rows.columns, size: 64) { columns, _ in
      for row in 0..<rows.rows {
        Self.add(
          rows.base + row * rows.stride + columns.lowerBound, columns.count,
          to: sum.base + Int(ids[row]) * rows.columns + columns.lowerBound)
      }
    }
  }

  private static func add(_ addend: UnsafePointer<Float>, _ count: Int, to sum: UnsafeMutablePointer<Float>) {
    for index in 0..<count { sum[index] += addend[index] }
  }
}

/// A communication thread that replaces each submitted unit's gradients by their sum over ranks.
final class PlainReducer {
  /// Elements of one `MPI_Allreduce`: the size that was fastest with Open MPI on one node.
  static let chunkSize = 1024 * 1024

  private let thread: SerialThread<Int>
  private var last = 0

  /// Collective.
  ///
  /// - Throws: `MPIError`.
  init(_ gradient: Arena<Float>, units: [Range<Int>], communicator: Communicator) throws {
    let communicator = try communicator.duplicate()
    thread = try SerialThread { unit in
      try communicator.barrier(pollingEvery: 100)  // as the exact reducer waits, without taking the core
      let range = units[unit]
      for start in stride(from: range.lowerBound, to: range.upperBound, by: Self.chunkSize) {
        let chunk = start..<min(range.upperBound, start + Self.chunkSize)
        try communicator.allReduce(arena: gradient.buffer[chunk].pointer, .sum)
      }
    }
  }

  func submit(unit: Int) { last = thread.submit(unit) }

  func wait() throws { try thread.wait(for: last) }
}
