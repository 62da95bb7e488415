import ConfigurationFiles
import Inference
import Kernels
import Models

/// Scores a text and continues it, with a tiny model that is made in memory: no files, no MPI.
///
/// The model's weights are random: a byte costs about ln 256 = 5.5 nats, and the generated text is noise, but the
/// same noise in every run. Tokens are bytes; `Tokenizers` has real ones, and `ModelFiles` reads models from disk.
@main
struct ScoreAndGenerate {
  static let model = """
    { model_type: llama, vocab_size: 256, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2,
      num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 256 }
    """

  static func main() throws {
    let backend = Backend(threads: 1)
    let configuration = try ModelConfiguration(
      huggingFace: ConfigurationSection(ConfigurationNode.parse(model, source: "the example's model")))
    let layout = ParameterLayout(configuration)
    let parameters = Arena<Float>(count: layout.count)
    layout.initialize(
      parameters.buffer, ranges: [0..<layout.count], configuration: configuration, seed: 1, backend: backend)

    // The log-probability of every byte but the first, by training's own forward pass.
    let text = "Packages must not contain files in /usr/local."
    let tokens = text.utf8.map { Int32($0) }
    let scorer = Scorer(configuration, parameters: parameters, longest: tokens.count, backend: backend)
    let score = try scorer.score(tokens)
    print("\(layout.count) parameters; \(tokens.count) bytes cost \(score.loss) nats each")

    // The same model, token by token with a cache: seed and position alone decide what is drawn.
    let decoder = IncrementalDecoder(configuration, parameters: parameters, capacity: 128, backend: backend)
    let generator = Generator(decoder, sampler: Sampler(temperature: 0.7, topK: 40, seed: 7), ends: [])
    var written: [Int32] = []
    generator.generate(prompt: tokens, maximumTokens: 24) { written.append($0) }
    print("and continues with \(written.map(String.init).joined(separator: " "))")
  }
}
