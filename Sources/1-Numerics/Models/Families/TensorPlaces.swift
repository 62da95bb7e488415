/// The place of a parameter in a weight file: a tensor of this name and shape, from its element `first` on.
public struct TensorPlace: Sendable, Equatable {
  public let name: String
  public let shape: [Int]
  public let first: Int

  public init(_ name: String, _ shape: [Int], first: Int = 0) {
    self.name = name
    self.shape = shape
    self.first = first
  }
}

extension ModelConfiguration {
  /// Names of the embedding and the head in weight files; exports use the first of each.
  public static let embeddingNames = prefixes.map { $0 + "embed_tokens.weight" }
  public static let headNames = ["lm_head.weight", "language_model.lm_head.weight"]

  /// Prefixes for `model.` in files: of a whole language model, of its body saved alone, and of an image-and-text model
  /// in transformers 5 and 4.
  private static let prefixes = ["model.", "", "model.language_model.", "language_model.model."]

  /// The places of a parameter in weight files that transformers 5 reads; exports use the first.
  ///
  /// Experts are stored one by one, or all of a layer in two tensors: `gate_up_proj` `[experts, 2 · intermediate,
  /// hidden]`, gate before up, and `down_proj` `[experts, hidden, intermediate]`.
  public func places(of tensor: ParameterTensor) -> [TensorPlace] {
    let first = Self.prefixes[0]
    guard tensor.name.hasPrefix(first) else { return Self.headNames.map { TensorPlace($0, tensor.shape) } }
    let rest = tensor.name.dropFirst(first.count)
    return Self.prefixes.flatMap { prefix in
      layerNames(String(rest)).flatMap { places(prefix + $0, of: tensor) }
    }
  }

  private func layerNames(_ name: String) -> [String] {
    guard let names = family.experts?.names else { return [name] }
    return [name] + names.otherLayers.map { name.replacing("." + names.layer, with: "." + $0) }.filter { $0 != name }
  }

  private func places(_ name: String, of tensor: ParameterTensor) -> [TensorPlace] {
    let single = TensorPlace(name, tensor.shape)
    guard let matrix = tensor.matrix, let experts else { return [single] }
    let marker = ".experts."
    guard let end = name.ranges(of: marker).last?.upperBound else { return [single] }
    let size = experts.intermediateSize * hiddenSize
    let fused =
      switch matrix.place {
      case .down:
        TensorPlace(
          name[..<end] + "down_proj", [experts.count, hiddenSize, experts.intermediateSize],
          first: matrix.expert * size)
      case .gate, .up:
        TensorPlace(
          name[..<end] + "gate_up_proj", [experts.count, 2 * experts.intermediateSize, hiddenSize],
          first: (2 * matrix.expert + (matrix.place == .up ? 1 : 0)) * size)
      }
    return [single, fused]
  }
}
