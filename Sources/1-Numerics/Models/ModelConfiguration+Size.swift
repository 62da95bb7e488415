import ConfigurationFiles

/// Limits on the size of a model, validated before arithmetic with it could overflow.
extension ModelConfiguration {
  /// The max of a dimension.
  static let largestNumber = 1 << 24
  static let maxLayers = 1 << 13
  static let maxExperts = 1 << 16
  /// 35 trillion parameters.
  private static let maxParameters = 0x1p45

  /// - Throws: `ForgeError.badInput` for a number that is larger than `maximum`.
  static func check(_ value: Int, _ key: String, in section: ConfigurationSection, maximum: Int = largestNumber) throws
  {
    guard value <= maximum else { throw section.error(key, "must be at most \(maximum), but is \(value)") }
  }

  /// - Throws: `ForgeError.badInput` for a model of more parameters than any machine holds.
  func checkSize(in section: ConfigurationSection) throws {
    guard approximateParameters <= Self.maxParameters else {
      let trillions = Int((approximateParameters * 1e-12).rounded())
      throw section.error(
        "hidden_size", "and the other sizes make a model of \(trillions) trillion parameters",
        hint: "at most 35 are possible")
    }
  }

  /// The parameters without norms and biases, as a floating-point number, which does not overflow.
  private var approximateParameters: Double {
    let (hidden, head) = (Double(hiddenSize), Double(headDimension))
    let attention = 2 * hidden * head * (Double(heads) + Double(keyValueHeads))
    let sparse = experts.map { experts in
      let widths = Double(experts.count) * Double(experts.intermediateSize) + Double(experts.sharedIntermediateSize)
      return 3 * hidden * widths + hidden * Double(experts.count)
    }
    let denseLayers = Double(layers - sparseLayerCount)
    return 2 * hidden * Double(vocabularySize) + Double(layers) * attention
      + Double(sparseLayerCount) * (sparse ?? 0) + denseLayers * 3 * hidden * Double(intermediateSize)
  }

  /// About how many activations a token keeps for the backward pass.
  public var approximateActivationsPerToken: Double {
    let hidden = Double(hiddenSize)
    let attention = Double(headDimension) * (Double(heads) + Double(keyValueHeads))
    let dense = hidden + 2 * attention + Double(intermediateSize)
    let sparse = experts.map { experts in
      Double(experts.count) + Double(experts.sharedIntermediateSize)
        + Double(experts.perToken) * (hidden + Double(experts.intermediateSize))
    }
    return 4 * (Double(layers) * dense + Double(sparseLayerCount) * (sparse ?? 0)) + Double(vocabularySize)
  }
}
