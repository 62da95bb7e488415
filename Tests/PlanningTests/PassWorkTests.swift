import Models
import Testing

@testable import Planning

@Suite struct PassWorkTests {
  /// `ModelConfiguration.trainingOperationsPerToken` counts 6 operations a weight and 12 a position attended to; here a
  /// backward pass of attention also recomputes the scores: 14.
  @Test(arguments: [dense, sparse])
  func operationsAreThoseOfTheModel(_ model: String) throws {
    let configuration = try configuration(model: model)
    let c = configuration.model
    let work = PassWork(c, sequences: 2, length: 64)
    let attended = Double(c.layers) * Double(c.queryColumns) * (64 - 63.0 / 2)
    let expected = 128 * (c.trainingOperationsPerToken(length: 64) + 2 * attended)
    #expect(abs(work.operations / expected - 1) < 1e-12)
  }

  @Test(arguments: [dense, sparse])
  func everyMatrixIsAccumulated(_ model: String) throws {
    let c = try configuration(model: model).model
    let work = PassWork(c, sequences: 2, length: 64)
    let elements = work.layers.reduce(work.headAccumulation) { $0 + $1.accumulation + $1.expertAccumulation }
    let matrices = ParameterLayout(c).tensors.filter { $0.shape.count > 1 && $0.role != .embedding }
    #expect(elements == Double(matrices.reduce(0) { $0 + $1.range.count }))
  }

  @Test func aCalibrationShapeKeepsRowsForEachExpert() throws {
    let c = try configuration(model: sparse).model
    let whole = CalibrationShape(c, sequences: 8, length: 64, operations: 1e18, parameters: 1 << 40)
    #expect(whole.isExact && whole.configuration.layers == 2 && whole.sequences == 8)
    let limit = whole.work.operations / 5
    let small = CalibrationShape(c, sequences: 8, length: 64, operations: limit, parameters: 1 << 40)
    #expect(!small.isExact && small.work.operations <= limit)
    let experts = try #require(small.configuration.experts)
    #expect(experts.perToken == 2)
    let rows = small.sequences * small.length * 2 / experts.count
    #expect(rows >= 8 * 64 * 2 / 4 / 2)
  }

  /// Calibrating a model takes seconds, also when one of its widths is far larger than the others.
  @Test(arguments: [1 << 24, 3 << 20])
  func aCalibrationShapeIsSmall(width: Int) throws {
    var models: [ModelConfiguration] = []
    for (model, change) in [
      (dense, { $0.intermediateSize = width }), (sparse, { $0.experts?.intermediateSize = width }),
      (sparse, { $0.experts?.sharedIntermediateSize = width }),
      (dense, { ($0.heads, $0.keyValueHeads) = (width, width) }),
      (dense, { ($0.heads, $0.keyValueHeads) = (width, 1) }), (dense, { $0.headDimension = width }),
      (dense, { $0.hiddenSize = width }), (dense, { $0.vocabularySize = width }),
    ] as [(String, (inout ModelConfiguration) -> Void)] {
      models.append(try configuration(model: model).model)
      change(&models[models.count - 1])
    }
    for model in models {
      let shape = CalibrationShape(model, sequences: 8, length: 64, operations: 1e10, parameters: 1 << 24)
      #expect(shape.work.operations <= 1e10 && ParameterLayout(shape.configuration).count <= 1 << 24, "\(model)")
      #expect(!shape.isExact)
      let c = shape.configuration
      #expect(c.heads % c.keyValueHeads == 0 && c.keyValueHeads > 0 && c.headDimension % 2 == 0 && c.headDimension > 0)
      #expect(c.intermediateSize > 0 && c.experts?.intermediateSize != 0)
    }
  }
}
