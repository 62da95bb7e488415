import Models

/// The proxy model of a calibration, whose parts cost as much per operation as those of the real model: a few layers of
/// each kind, narrower ones where these exceed the limits, with as many rows per expert.
struct CalibrationShape: Sendable, Equatable {
  private(set) var configuration: ModelConfiguration
  private(set) var sequences: Int
  private(set) var length: Int
  /// Whether layers and micro-batches have their real size.
  private(set) var isExact = true

  var work: PassWork { PassWork(configuration, sequences: sequences, length: length) }

  /// - Parameters:
  ///   - operations: max floating-point operations of a pass.
  ///   - parameters: max parameters of the model.
  init(
    _ model: ModelConfiguration, sequences: Int, length: Int, operations: Double, parameters: Int
  ) {
    configuration = model
    self.sequences = sequences
    self.length = length
    keepLayers(2)
    func isTooMuch() -> Bool { work.operations > operations || ParameterLayout(configuration).count > parameters }
    if isTooMuch() { keepLayers(1) }
    while isTooMuch(), shrink() { isExact = false }
  }

  /// Keeps the last layers of each kind.
  private mutating func keepLayers(_ count: Int) {
    let c = configuration
    let kept = [true, false].flatMap { kind in
      Array(c.sparseLayers.indices.filter { c.sparseLayers[$0] == kind }.suffix(count))
    }.sorted()
    configuration.layers = kept.count
    configuration.sparseLayers = kept.map { c.sparseLayers[$0] }
    configuration.windows = kept.map { c.windows[$0] }
  }

  /// Halves the dimension that the rates depend on least; false when none is left.
  private mutating func shrink() -> Bool {
    if shrinkProportions() { return true }
    let c = configuration
    if c.hiddenSize > 1024, c.hiddenSize % 2 == 0 {
      configuration.hiddenSize /= 2
      configuration.intermediateSize = max(1, c.intermediateSize / 2)
      configuration.experts?.intermediateSize = max(1, (c.experts?.intermediateSize ?? 0) / 2)
      configuration.experts?.sharedIntermediateSize /= 2
      if c.keyValueHeads % 2 == 0 {
        configuration.heads /= 2
        configuration.keyValueHeads /= 2
      }
    } else if c.vocabularySize > 8192 {
      configuration.vocabularySize /= 2
    } else if sequences > 1 {
      halveExperts(tokensFrom: sequences, to: sequences / 2)
      sequences /= 2
    } else if length > 256 {
      halveExperts(tokensFrom: length, to: length / 2)
      length /= 2
    } else if let experts = c.experts, experts.count >= 2 * experts.perToken {
      setExperts(experts.count / 2)
    } else if c.hiddenSize > 128, c.hiddenSize % 4 == 0 {
      configuration.hiddenSize /= 2
    } else {
      return false
    }
    return true
  }

  /// Halves a width of more than 16 times the hidden size; false when there is none.
  private mutating func shrinkProportions() -> Bool {
    let most = 16 * configuration.hiddenSize
    if configuration.intermediateSize > most {
      configuration.intermediateSize /= 2
    } else if let experts = configuration.experts, experts.intermediateSize > most {
      configuration.experts?.intermediateSize /= 2
    } else if let experts = configuration.experts, experts.sharedIntermediateSize > most {
      configuration.experts?.sharedIntermediateSize /= 2
    } else if configuration.queryColumns > most, configuration.keyValueHeads > 1 {
      let sharing = configuration.heads / configuration.keyValueHeads
      configuration.keyValueHeads /= 2
      configuration.heads = configuration.keyValueHeads * sharing
    } else if configuration.queryColumns > most, configuration.heads > 1 {
      configuration.heads /= 2
    } else if configuration.queryColumns > most {
      configuration.headDimension = configuration.headDimension / 4 * 2
    } else {
      return false
    }
    return true
  }

  /// Reduces the experts with the tokens, so that each has as many rows.
  private mutating func halveExperts(tokensFrom before: Int, to after: Int) {
    guard let experts = configuration.experts else { return }
    setExperts(max(experts.perToken, experts.count * after / before))
  }

  /// Sets the number of experts, without router groups, whose selection costs little.
  private mutating func setExperts(_ count: Int) {
    configuration.experts?.count = count
    configuration.experts?.router.groups = 1
    configuration.experts?.router.groupsPerToken = 1
  }
}
