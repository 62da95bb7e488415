import ArgumentParser
import Formats
import Foundation
import Kernels
import ModelFiles
import Models
import Support

struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write a model as a Hugging Face folder that transformers loads.",
    discussion: """
      Writes config.json, model.safetensors (or shards with an index) and what came with the model, byte for byte:
      generation settings, chat templates, licence and, where it is found, the tokenizer. All of it appears at once,
      when it is complete.

      EXAMPLES
        forge export runs/quickstart my-model
        forge export runs/quickstart/checkpoints/step-00000100 my-model --dtype bf16
        forge export runs/big my-model --max-shard-size 500MB
      """)

  enum Precision: String, CaseIterable, ExpressibleByArgument {
    case fp32, bf16, fp16

    var scalarType: ScalarType {
      switch self {
      case .fp32: .float32
      case .bf16: .bfloat16
      case .fp16: .float16
      }
    }
  }

  @Argument(help: "A run directory, a checkpoint or a Hugging Face folder.")
  var source: String

  @Argument(help: "The folder to write; it must be new or empty.")
  var output: String

  @Option(help: "The weights' number format; narrower ones are rounded to nearest.")
  var dtype = Precision.fp32

  @Option(help: "The size above which the weights are split into files, such as 5GB or 500MB.")
  var maxShardSize = ByteSize(bytes: 5_000_000_000)

  @Option(help: "The tokenizer's folder, where it is not found with the model.")
  var tokenizer: String?

  @Flag(help: "Write into a folder that is not empty; its other files stay.")
  var overwrite = false

  @Option(help: "How many threads to read with.")
  var threads = ProcessInfo.processInfo.activeProcessorCount

  func run() throws {
    var isFolder: ObjCBool = true
    if FileManager.default.fileExists(atPath: output, isDirectory: &isFolder), !isFolder.boolValue {
      throw ForgeError.badInput("'\(output)' exists and is not a folder; choose another place")
    }
    if !overwrite, let contents = try? FileManager.default.contentsOfDirectory(atPath: output), !contents.isEmpty {
      throw ForgeError.badInput("'\(output)' is not empty; choose another folder or give --overwrite")
    }
    // It is only copied, and so need not be one that this program understands.
    let tokenizer = try TokenizerLocation.find(model: source, named: self.tokenizer).map {
      try ModelFolderFiles(tokenizer: $0)
    }
    let loaded = try LoadedModel(path: source, threads: threads)
    var files = loaded.files
    if let tokenizer { files.replaceTokenizer(with: tokenizer, wasNamed: self.tokenizer != nil) }
    let notes = try PretrainedModel.write(
      loaded.configuration, parameters: loaded.parameters.buffer, folder: output, dtype: dtype.scalarType,
      maximumShardBytes: maxShardSize.bytes, files: files)
    for note in notes { FileHandle.standardError.write(Data("forge: \(note)\n".utf8)) }
    let count = ParameterLayout(loaded.configuration).count
    let rest = files.hasTokenizer ? " and its tokenizer" : "; no tokenizer was found"
    try StandardOutput.write("\(output): \(count) parameters in \(dtype.rawValue)\(rest)\n")
  }
}
