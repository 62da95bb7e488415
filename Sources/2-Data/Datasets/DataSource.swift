import Formats
import Glibc
import Support

/// A data source: a dataset and its weight in a mixture.
public struct DataSource: Sendable, Equatable {
  /// A folder made by `forge data prepare`, or the prefix of a Megatron-LM `.bin/.idx` pair.
  public var path: String
  /// Sequences are drawn in proportion to the weights, which need not add up to 1.
  public var weight: Double

  public init(path: String, weight: Double = 1) {
    self.path = path
    self.weight = weight
  }
}

/// The two parts of a folder made by `forge data prepare`; the raw value is the prefix of its files.
public enum DatasetSplit: String, Sendable, CaseIterable {
  case train, validation
}

extension DataSource {
  /// Whether the source is a prepared folder; only these have a part held out for validation.
  public var isPreparedFolder: Bool { exists(path + "/" + DatasetSplit.train.rawValue + ".idx") }

  /// Opens a part of a prepared folder, or the whole of a `.bin/.idx` pair.
  func open(_ split: DatasetSplit) throws -> IndexedDataset { try IndexedDataset(prefix: prefix(of: split)) }

  private func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
}
