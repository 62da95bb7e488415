import Kernels
import Models

/// The gradient reduction of a training run: exact 64-bit sums, exchanged behind the computation.
final class ExactVariant: StepVariant {
  private let model: StepModel
  var sums: any GradientAccumulator { model.engine.accumulator }
  var parameterSharding: any ParameterSharding { model.engine.state }

  init(_ model: StepModel) { self.model = model }

  func begin() {
    model.engine.state.gatherParameters()
    model.engine.state.zeroGradients()
    model.engine.state.beginMicroStep(model.engine.decoder.trainingSchedule, last: true)
  }

  func combine(_ values: inout [Int64]) throws {
    try values.withUnsafeMutableBufferPointer { try model.world.allReduce(arena: $0, .sum) }
  }

  func gradientNorm() throws -> Double {
    try model.engine.state.waitForGradients()
    return try model.engine.optimizer.gradientNorm()
  }

  func update(_ numbers: UpdateNumbers) {
    model.engine.optimizer.update(
      step: numbers.step, learningRate: numbers.learningRate, gradientScale: numbers.gradientScale)
  }
}

/// The same computation without communication: every rank has its own gradient and parameters only.
final class SilentVariant: StepVariant {
  private let model: StepModel
  var sums: any GradientAccumulator { model.engine.accumulator }
  let parameterSharding: any ParameterSharding = UnshardedParameters()

  init(_ model: StepModel) { self.model = model }

  func begin() { model.engine.state.zeroGradients() }

  func combine(_ values: inout [Int64]) {
    for index in values.indices { values[index] *= Int64(model.world.size) }
  }

  func gradientNorm() -> Double {
    for range in model.engine.state.resident { model.engine.accumulator.complete(range, backend: model.engine.backend) }
    return model.shardSumOfSquares(model.engine.accumulator.sums) { [backend = model.engine.backend] in
      backend.sumsOfSquares($0, blockSize: $1, into: $2)
    }.squareRoot()
  }

  func update(_ numbers: UpdateNumbers) {
    model.engine.optimizer.update(
      step: numbers.step, learningRate: numbers.learningRate, gradientScale: numbers.gradientScale)
  }
}
