import Formats
import Kernels
import Models
import Support

/// The mapping from a model's parameters to the tensors of a folder's weights, by the names of its family.
struct WeightSources {
  let collection: SafetensorsCollection
  private let configuration: ModelConfiguration
  /// Places by parameter name, without parameters that the folder does not have.
  private var places: [String: TensorPlace] = [:]

  init(_ collection: SafetensorsCollection, _ configuration: ModelConfiguration) {
    self.collection = collection
    self.configuration = configuration
    let layout = ParameterLayout(configuration)
    for tensor in layout.tensors {
      places[tensor.name] = configuration.places(of: tensor).first { collection.tensors[$0.name] != nil }
    }
    // With tied embeddings a file may have the head only.
    if configuration.tiedEmbeddings, let embedding = layout.tensors.first, places[embedding.name] == nil {
      places[embedding.name] = TensorPlace(Self.found(ModelConfiguration.headNames, in: collection), of: embedding)
    }
  }

  /// The first of several names of a tensor that a folder has.
  static func found(_ names: [String], in collection: SafetensorsCollection) -> String? {
    names.first { collection.tensors[$0] != nil }
  }

  /// Reads a part of a parameter, converted to fp32.
  ///
  /// - Throws: `ForgeError.badInput` that names a missing, mis-shaped or damaged tensor.
  func read(_ tensor: ParameterTensor, elements: Range<Int>, into values: Buffer<Float>) throws {
    let place = places[tensor.name] ?? configuration.places(of: tensor)[0]
    let first = place.first + elements.lowerBound
    try collection.read(
      place.name, shape: place.shape, elements: first..<first + elements.count, into: values.pointer)
  }

  /// Validates that every tensor is mapped: leaving out one that the configuration does not mention, such as a bias,
  /// would silently change the numbers.
  ///
  /// - Parameter isWrapped: whether the folder holds an image-and-text model, of which only the language model is read.
  /// - Throws: `ForgeError.badInput` that names the first unmapped tensor.
  func checkNames(isWrapped: Bool, note: (String) -> Void) throws {
    var known = Set(places.values.map(\.name))
    if configuration.tiedEmbeddings { known.formUnion(ModelConfiguration.headNames) }
    var differing: [String] = []
    var leftOut = 0
    for name in collection.tensors.keys.sorted() where !known.contains(name) {
      if isWrapped, Self.imageParts.contains(where: name.hasPrefix) {
        leftOut += 1
        continue
      }
      guard name.hasSuffix("rotary_emb.inv_freq") else {
        throw ForgeError.badInput(
          "'\(collection.path)' has a tensor '\(name)' that its config.json has no place for", code: .weightsMismatch)
      }
      if try !holdsFrequencies(name) { differing.append(name) }
    }
    if isWrapped {
      note(
        "'\(collection.path)' holds a model of images and text: its language model is used, not \(leftOut) other tensors"
      )
    }
    guard let first = differing.first else { return }
    note("'\(collection.path)': \(first) is not what config.json says of the rotary embedding, which counts")
  }

  /// Prefixes of the other tensors of image-and-text models, in transformers 5 and 4.
  private static let imageParts = ["", "model."].flatMap { prefix in
    ["vision_tower.", "multi_modal_projector."].map { prefix + $0 }
  }

  /// Whether a rotary-frequency tensor of old files, which config.json makes redundant, agrees with it.
  private func holdsFrequencies(_ name: String) throws -> Bool {
    let expected = configuration.rotary.inverseFrequencies(dimension: configuration.headDimension)
    guard collection.tensors[name]?.shape == [expected.count], collection.tensors[name]?.dtype.convertsToFloat == true
    else { return false }
    var found = [Float](repeating: 0, count: expected.count)
    try found.withUnsafeMutableBufferPointer { try collection.read(name, into: $0) }
    // The resolution of half precision.
    return zip(found, expected).allSatisfy { abs($0 - $1) <= 0.01 * $1 + 1e-6 }
  }
}

extension TensorPlace {
  /// The place of a whole tensor under another name; nil for no name.
  fileprivate init?(_ name: String?, of tensor: ParameterTensor) {
    guard let name else { return nil }
    self.init(name, tensor.shape)
  }
}
