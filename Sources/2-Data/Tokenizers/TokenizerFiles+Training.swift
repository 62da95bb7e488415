import Foundation
import Support

extension TokenizerFiles {
  /// The files of a newly trained tokenizer.
  init(learner: MergeLearner, options: TrainingOptions) {
    self.init(
      tokenizer: Data(Self.tokenizerText(learner, options).utf8),
      configuration: Data(Self.configurationText(options).utf8))
  }

  /// `tokenizer.json`, in the layout of Hugging Face `tokenizers`.
  private static func tokenizerText(_ learner: MergeLearner, _ options: TrainingOptions) -> String {
    let added = options.specialTokens.enumerated().map { id, token in
      """
          {
            "id": \(id),
            "content": \(JSONString.quoted(token)),
            "single_word": false,
            "lstrip": false,
            "rstrip": false,
            "normalized": false,
            "special": true
          }
      """
    }
    let texts = learner.tokens.enumerated().map { id, bytes in
      id < options.specialTokens.count ? options.specialTokens[id] : ByteAlphabet.text(for: bytes)
    }
    let vocabulary = texts.enumerated().map { id, text in "      \(JSONString.quoted(text)): \(id)" }
    let merges = learner.merges.map { merge in
      "      [\(JSONString.quoted(texts[Int(merge.left)])), \(JSONString.quoted(texts[Int(merge.right)]))]"
    }
    return """
      {
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [
      \(added.joined(separator: ",\n"))
        ],
        "normalizer": null,
        "pre_tokenizer": \(preTokenizer(options.pattern)),
        "post_processor": \(postProcessor(options)),
        "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false },
        "model": {
          "type": "BPE",
          "dropout": null,
          "unk_token": null,
          "continuing_subword_prefix": null,
          "end_of_word_suffix": null,
          "fuse_unk": false,
          "byte_fallback": false,
          "ignore_merges": false,
          "vocab": {
      \(vocabulary.joined(separator: ",\n"))
          },
          "merges": [
      \(merges.joined(separator: ",\n"))
          ]
        }
      }

      """
  }

  /// A post-processor that puts `<s>` before a text that is encoded with special tokens, as before each document in
  /// training. `transformers` follows it, whatever `add_bos_token` is.
  private static func postProcessor(_ options: TrainingOptions) -> String {
    guard let id = options.specialTokens.firstIndex(of: "<s>") else {
      return #"{ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false }"#
    }
    func piece(_ kind: String, _ name: String, _ type: Int) -> String {
      #"{ "\#(kind)": { "id": "\#(name)", "type_id": \#(type) } }"#
    }
    let first = [piece("SpecialToken", "<s>", 0), piece("Sequence", "A", 0)]
    let second = [piece("SpecialToken", "<s>", 1), piece("Sequence", "B", 1)]
    return """
      {
          "type": "TemplateProcessing",
          "single": [\(first.joined(separator: ", "))],
          "pair": [\((first + second).joined(separator: ", "))],
          "special_tokens": { "<s>": { "id": "<s>", "ids": [\(id)], "tokens": ["<s>"] } }
        }
      """
  }

  private static func preTokenizer(_ pattern: SplitPattern) -> String {
    let byteLevel = #"{ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": "#
    if pattern == .gpt2 { return byteLevel + "true }" }
    return """
      {
          "type": "Sequence",
          "pretokenizers": [
            {
              "type": "Split",
              "pattern": { "Regex": \(JSONString.quoted(pattern.regularExpression)) },
              "behavior": "Isolated",
              "invert": false
            },
            \(byteLevel)false }
          ]
        }
      """
  }

  /// `tokenizer_config.json`, which `transformers.AutoTokenizer` and chat programs need.
  private static func configurationText(_ options: TrainingOptions) -> String {
    func name(_ token: String) -> String { options.specialTokens.contains(token) ? JSONString.quoted(token) : "null" }
    let hasInstructions = ["<s>", "</s>", "[INST]", "[/INST]"].allSatisfy(options.specialTokens.contains)
    let template = hasInstructions ? ",\n  \"chat_template\": \(JSONString.quoted(chatTemplate))" : ""
    return """
      {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": \(name("<s>")),
        "eos_token": \(name("</s>")),
        "unk_token": \(name("<unk>")),
        "pad_token": \(name("<pad>")),
        "add_bos_token": \(options.specialTokens.contains("<s>")),
        "add_eos_token": false,
        "add_prefix_space": false,
        "clean_up_tokenization_spaces": false,
        "model_max_length": 1000000000000000019884624838656\(template)
      }

      """
  }

  /// Mistral's chat format (Jinja): the system message opens the first instruction, and `</s>` closes each answer.
  private static let chatTemplate = """
    {%- if messages and messages[0]['role'] == 'system' -%}
      {%- set system_message = messages[0]['content'] + '\\n\\n' -%}
      {%- set turns = messages[1:] -%}
    {%- else -%}
      {%- set system_message = '' -%}
      {%- set turns = messages -%}
    {%- endif -%}
    {{- bos_token -}}
    {%- for message in turns -%}
      {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{- raise_exception('after an optional system message, user and assistant must take turns') -}}
      {%- endif -%}
      {%- if message['role'] == 'user' -%}
        {{- '[INST]' + (system_message if loop.first else '') + message['content'] + '[/INST]' -}}
      {%- elif message['role'] == 'assistant' -%}
        {{- message['content'] + eos_token -}}
      {%- else -%}
        {{- raise_exception('the roles are system, user and assistant') -}}
      {%- endif -%}
    {%- endfor -%}
    """
}
