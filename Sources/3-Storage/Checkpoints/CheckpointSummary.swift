import Foundation
import Support

/// The summary of a checkpoint, without reading its tensors.
public struct CheckpointSummary: Sendable {
  public let step: Int
  public let path: String
  /// When it was saved.
  public let date: Date
  /// Bytes on disk, including the manifest.
  public let storedBytes: Int
  /// Bytes of the tensors.
  public let rawBytes: Int
  public let validationLoss: Double?
  /// The hash of the validation sequences; only losses of equal ones are comparable.
  public let validationSets: String?
  /// The error of its manifest or file lengths, in which case the sizes are 0; nil for a valid one.
  public let problem: String?
}

extension CheckpointFolder {
  /// All checkpoints, ascending by step. Chunks are not verified.
  public func summaries() -> [CheckpointSummary] {
    steps().map { step in
      let reader = Result { try CheckpointReader(path: self.path(step: step)) }
      let path = (try? reader.get())?.path ?? self.path(step: step)
      var status = stat()
      _ = stat("\(path)/\(CheckpointManifest.fileName)", &status)
      let date = Date(timeIntervalSince1970: Double(status.st_mtim.tv_sec))
      switch reader {
      case .success(let reader):
        return CheckpointSummary(
          step: step, path: path, date: date, storedBytes: reader.storedBytes + Int(status.st_size),
          rawBytes: reader.rawBytes, validationLoss: reader.validationLoss,
          validationSets: reader.validationSets, problem: nil)
      case .failure(let error):
        return CheckpointSummary(
          step: step, path: path, date: date, storedBytes: 0, rawBytes: 0, validationLoss: nil,
          validationSets: nil, problem: "\(error)")
      }
    }
  }
}

/// The storage of a tensor: its chunks and planes.
public struct TensorStorage: Sendable {
  public let tensor: TensorDescription
  public let chunks: Int
  /// Stored bytes of each byte plane, the most significant first; raw, each has a byte per element.
  public let planes: [Int]
  public var storedBytes: Int { planes.reduce(0, +) }
  public var rawBytes: Int { tensor.elementCount * tensor.dtype.width }
}

extension CheckpointReader {
  /// Stored bytes of all chunks.
  public var storedBytes: Int { manifest.files.map(\.length).reduce(0, +) }
  public var rawBytes: Int { manifest.chunks.map(\.rawLength).reduce(0, +) }
  public var chunkCount: Int { manifest.chunks.count }
  public var fileCount: Int { manifest.files.count }

  /// The validation loss at this step; nil if there was no validation.
  public var validationLoss: Double? { metadata[CheckpointFolder.validationLossKey]?.number }

  /// The hash of the validation sequences; nil in checkpoints of versions that did not record it.
  public var validationSets: String? { metadata[CheckpointFolder.validationSetsKey]?.string }

  /// The storage of every tensor, in the manifest's order.
  public var storage: [TensorStorage] {
    let chunks = Dictionary(grouping: manifest.chunks, by: \.tensor)
    return tensors.map { tensor in
      let chunks = chunks[tensor.name] ?? []
      let planes = (0..<tensor.dtype.width).map { plane in chunks.map { $0.planes[plane] }.reduce(0, +) }
      return TensorStorage(tensor: tensor, chunks: chunks.count, planes: planes)
    }
  }
}
