import Kernels
import Models

/// What a training run does: exact 64-bit sums, exchanged behind the computation.
final class ExactVariant: StepVariant {
  private let model: StepModel
  var sums: any GradientSums { model.engine.accumulator }
  var residence: any ParameterResidence { model.engine.state }

  init(_ model: StepModel) { self.model = model }

  func begin() {
    model.engine.state.gatherUpdated()
    model.engine.state.beginSums()
    model.engine.state.beginRound(model.engine.decoder.trainingSchedule, last: true)
  }

  func combine(_ values: inout [Int64]) throws {
    try values.withUnsafeMutableBufferPointer { try model.world.allReduce(arena: $0, .sum) }
  }

  func gradientNorm() throws -> Double {
    try model.engine.state.waitForSums()
    return try model.engine.optimizer.gradientNorm()
  }

  func update(_ numbers: UpdateNumbers) {
    model.engine.optimizer.update(
      step: numbers.step, learningRate: numbers.learningRate, gradientScale: numbers.gradientScale)
  }
}

/// The same computation with communication left out: every rank keeps to its own gradient and parameters.
final class SilentVariant: StepVariant {
  private let model: StepModel
  var sums: any GradientSums { model.engine.accumulator }
  let residence: any ParameterResidence = LocalResidence()

  init(_ model: StepModel) { self.model = model }

  func begin() { model.engine.state.beginSums() }

  func combine(_ values: inout [Int64]) {
    for index in values.indices { values[index] *= Int64(model.world.size) }
  }

  func gradientNorm() -> Double {
    for range in model.engine.state.kept { model.engine.accumulator.complete(range, compute: model.engine.compute) }
    return model.ownedSumOfSquares(model.engine.accumulator.sums) { [compute = model.engine.compute] in
      compute.sumsOfSquares($0, blockSize: $1, into: $2)
    }.squareRoot()
  }

  func update(_ numbers: UpdateNumbers) {
    model.engine.optimizer.update(
      step: numbers.step, learningRate: numbers.learningRate, gradientScale: numbers.gradientScale)
  }
}
