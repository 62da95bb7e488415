import ConfigurationFiles
import Foundation
import ModelFiles
import Models
import Support

extension RunConfiguration {
  /// The `model:` section: a folder, or the keys of a `config.json`, declared by `Models`.
  struct ModelSection {
    let folder: String?
    /// Nil when settings are only listed.
    private let section: ConfigurationSection?

    init(_ settings: SettingsReader) throws {
      let from = "from"
      folder = try settings.optional(
        from, .path, without: "random weights",
        "Model to start from: a Hugging Face folder, a run or a checkpoint.")
      section = settings.foreign(
        ModelConfiguration.declarations, ignored: ModelConfiguration.ignoredKeys,
        exclusive: (from, ModelConfiguration.runsChoices.map(\.key))
      ) { $0 }
    }

    /// The model configuration. `from: FOLDER` reads the folder's `config.json`, with the section's other keys as
    /// overrides. A resumed run falls back to its checkpoint's model when the folder cannot be read.
    func configuration(
      run directory: String
    ) throws -> (ModelConfiguration, pretrained: String?, warnings: [String]) {
      guard let section else { preconditionFailure("settings that are only listed make no model") }
      guard let folder else { return (try ModelConfiguration(huggingFace: section), nil, []) }
      for choice in ModelConfiguration.runsChoices { try choice.form.checkType(of: choice.key, in: section) }
      var warnings: [String] = []
      do {
        let model = try PretrainedModel.configuration(folder: folder, overrides: section) { warnings.append($0) }
        return (model, folder, warnings)
      } catch let error as ForgeError {
        let checkpoints = RunDirectory(path: directory).checkpointsPath
        guard FileManager.default.fileExists(atPath: checkpoints),
          let own = try? PretrainedModel.configuration(folder: checkpoints, overrides: section)
        else { throw error }
        return (own, folder, ["warning: \(error); the run goes on with the model of its checkpoint"])
      }
    }
  }
}
