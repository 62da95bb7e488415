import Kernels
import Models

/// What a training run does: exact 64-bit sums, exchanged behind the computation.
final class ExactVariant: StepVariant {
  private let model: StepModel
  var sums: any GradientSums { model.accumulator }
  var residence: any ParameterResidence { model.state }

  init(_ model: StepModel) { self.model = model }

  func begin() {
    model.state.gatherUpdated()
    model.state.beginSums()
    model.state.beginRound(training: true, last: true)
  }

  func combine(_ values: inout [Int64]) throws {
    try values.withUnsafeMutableBufferPointer { try model.world.allReduce(arena: $0, .sum) }
  }

  func gradientNorm() throws -> Double {
    try model.state.waitForSums()
    return try model.optimizer.gradientNorm()
  }

  func update(_ numbers: UpdateNumbers) {
    model.optimizer.update(
      step: numbers.step, learningRate: numbers.learningRate, gradientScale: numbers.gradientScale)
  }
}

/// The same computation with communication left out: every rank keeps to its own gradient and parameters.
final class SilentVariant: StepVariant {
  private let model: StepModel
  var sums: any GradientSums { model.accumulator }
  let residence: any ParameterResidence = LocalResidence()

  init(_ model: StepModel) { self.model = model }

  func begin() { model.state.beginSums() }

  func combine(_ values: inout [Int64]) {
    for index in values.indices { values[index] *= Int64(model.world.size) }
  }

  func gradientNorm() -> Double {
    for range in model.state.kept { model.accumulator.complete(range, compute: model.compute) }
    return model.ownedSumOfSquares(model.accumulator.sums) { [compute = model.compute] in
      compute.sumsOfSquares($0, blockSize: $1, into: $2)
    }.squareRoot()
  }

  func update(_ numbers: UpdateNumbers) {
    model.optimizer.update(
      step: numbers.step, learningRate: numbers.learningRate, gradientScale: numbers.gradientScale)
  }
}
