import Formats
import Foundation
import Kernels
import ModelFiles
import Models
import Support

/// A request to export a model as a Hugging Face folder.
public struct ExportModel: Command {
  /// The data type of the exported weights.
  public enum Precision: String, CaseIterable, Sendable {
    case fp32, bf16, fp16

    var scalarType: ScalarType {
      switch self {
      case .fp32: .float32
      case .bf16: .bfloat16
      case .fp16: .float16
      }
    }
  }

  /// A run directory, a checkpoint or a Hugging Face folder.
  public var source: String
  /// The folder to write.
  public var output: String
  public var precision: Precision
  /// The max size of a weights file, in bytes; larger weights are split into several files.
  public var maximumShardBytes: Int
  /// The tokenizer's folder; nil to use the one found with the model.
  public var tokenizer: String?
  /// Whether to write into a folder that is not empty.
  public var overwrite: Bool
  public var threads: Int

  public init(
    source: String, output: String, precision: Precision, maximumShardBytes: Int, tokenizer: String?, overwrite: Bool,
    threads: Int
  ) {
    (self.source, self.output, self.precision) = (source, output, precision)
    (self.maximumShardBytes, self.tokenizer) = (maximumShardBytes, tokenizer)
    (self.overwrite, self.threads) = (overwrite, threads)
  }

  public func run(_ sinks: CommandSinks) throws -> ExportedModel {
    var isFolder: ObjCBool = true
    if FileManager.default.fileExists(atPath: output, isDirectory: &isFolder), !isFolder.boolValue {
      throw ForgeError.badInput(
        "'\(output)' exists and is not a folder", hint: "choose another place", code: .fileExists)
    }
    if !overwrite, let contents = try? FileManager.default.contentsOfDirectory(atPath: output), !contents.isEmpty {
      throw ForgeError.badInput(
        "'\(output)' is not empty", hint: "choose another folder or give --overwrite", code: .fileExists)
    }
    // The tokenizer is only copied, so its kind need not be supported.
    let tokenizer = try TokenizerLocation.find(model: source, named: self.tokenizer).map {
      try ModelFolderFiles(tokenizer: $0)
    }
    let loaded = try LoadedModel(path: source, threads: threads, sinks)
    var files = loaded.files
    if let tokenizer { files.replaceTokenizer(with: tokenizer, wasNamed: self.tokenizer != nil) }
    let notes = try PretrainedModel.write(
      loaded.configuration, parameters: loaded.parameters.buffer, folder: output, dtype: precision.scalarType,
      maximumShardBytes: maximumShardBytes, files: files)
    notes.forEach(sinks.note)
    return ExportedModel(
      folder: output, parameters: ParameterLayout(loaded.configuration).count, precision: precision,
      hasTokenizer: files.hasTokenizer, notes: notes)
  }
}

/// The result of an export.
public struct ExportedModel: CommandResult {
  public let folder: String
  public let parameters: Int
  public let precision: ExportModel.Precision
  public let hasTokenizer: Bool
  /// Notes about the exported folder, a sentence each.
  public let notes: [String]

  public var text: String {
    let rest = hasTokenizer ? " and its tokenizer" : "; no tokenizer was found"
    return "\(folder): \(parameters) parameters in \(precision.rawValue)\(rest)\n"
  }

  public var json: JSONLine {
    .object([
      ("folder", .path(folder)), ("parameters", .integer(parameters)), ("dtype", .string(precision.rawValue)),
      ("tokenizer", .boolean(hasTokenizer)), ("notes", .strings(notes)),
    ])
  }
}
