import ConfigurationFiles
import Models
import Support

/// The language model's configuration in a folder's `config.json`: the file itself, or its `text_config` in an
/// image-and-text model.
struct FolderConfiguration {
  let node: ConfigurationNode
  /// Whether the folder holds an image-and-text model.
  let isWrapped: Bool

  init(_ node: ConfigurationNode) throws {
    guard case .string(let type)? = node["model_type"]?.value, ModelFamily.named(type) == nil,
      let text = node["text_config"], case .mapping(let entries) = text.value,
      ModelFamily.all.contains(where: { $0.wrappers.contains(type) })
    else {
      (self.node, isWrapped) = (node, false)
      return
    }
    if case .string(let family)? = text["model_type"]?.value,
      ModelFamily.named(family)?.wrappers.contains(type) != true
    {
      throw try ConfigurationSection(text, path: "text_config").error(
        "model_type", "is '\(family)', which is not supported as the language model of a \(type) model",
        code: .unsupportedModel)
    }
    // Tied embeddings (by default true) and quantization are set for the whole model.
    let tied = ConfigurationNode(.boolean(true), at: node.location)
    let outer = [
      node.entry("tie_word_embeddings")
        ?? ConfigurationNode.Entry(key: "tie_word_embeddings", location: node.location, node: tied),
      node.entry("quantization_config"),
    ].compactMap(\.self)
    let own = entries.filter { entry in !outer.contains { $0.key == entry.key } } + outer
    (self.node, isWrapped) = (ConfigurationNode(.mapping(own), at: text.location), true)
  }
}
