import ArgumentParser
import Commands
import Foundation

struct ExportCommand: RequestingCommand {
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

  @Argument(help: "A run directory, a checkpoint or a Hugging Face folder.")
  var source: String

  @Argument(help: ArgumentHelp("The folder to write; it must be new or empty.", valueName: "output"))
  var folder: String

  @Option(help: "The weights' number format; narrower ones are rounded to nearest.")
  var dtype = ExportModel.Precision.fp32

  @Option(help: "The size above which the weights are split into files, such as 5GB or 500MB.")
  var maxShardSize = ByteSize(bytes: 5_000_000_000)

  @Option(help: "The tokenizer's folder, where it is not found with the model.")
  var tokenizer: String?

  @Flag(help: "Write into a folder that is not empty; its other files stay.")
  var overwrite = false

  @Option(help: "How many threads to read with.")
  var threads = ProcessInfo.processInfo.activeProcessorCount

  @OptionGroup
  var output: OutputOptions

  func request() -> ExportModel {
    ExportModel(
      source: source, output: folder, precision: dtype, maximumShardBytes: maxShardSize.bytes, tokenizer: tokenizer,
      overwrite: overwrite, threads: threads)
  }
}

extension ExportModel.Precision: ExpressibleByArgument {}
