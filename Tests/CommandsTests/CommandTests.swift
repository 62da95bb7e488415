import Commands
import Foundation
import Support
import Testing

/// Commands as a server would call them: no arguments, no terminal.
@Suite struct CommandTests {
  private let folder = FileManager.default.temporaryDirectory.appending(path: "commands-\(UUID().uuidString)")

  private func write(_ text: String, _ name: String) throws -> String {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let file = folder.appending(path: name)
    try Data(text.utf8).write(to: file)
    return file.path
  }

  private func object(_ document: String) throws -> JSONValue {
    try JSONDecoder().decode(JSONValue.self, from: Data(document.utf8))
  }

  @Test func aRequestGivesTextAndTheSameAsJSON() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let metrics = try write("{\"step\": 1, \"loss\": 2.5}\n{\"step\": 2, \"loss\": 1e101}\n", "metrics.jsonl")
    var notes: [String] = []
    let result = try DrawCurve(source: metrics, output: nil).run(CommandSinks(note: { notes.append($0) }))
    #expect(!result.text.isEmpty && result.exitCode == 0 && result.failure == nil)
    #expect(notes.count == result.curve.leftOut)
    let json = try object(result.document)
    #expect(json["training"]?.array?.first?["loss"]?.number == 2.5 && json["output"] == .null)
  }

  @Test func whatIsStreamedIsTheText() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let text = try write(String(repeating: "one two three ", count: 40), "a.txt")
    let tokenizer = folder.path + "/tokenizer"
    let trained = try TrainTokenizer(
      inputs: [text], output: tokenizer, vocabularySize: 300, minimumFrequency: 2, pattern: .llamaBPE, threads: 1,
      overwrite: false, options: .init()
    ).run()
    #expect(try object(trained.document)["vocabulary_size"]?.integer == trained.vocabularySize)
    var streamed: [UInt8] = []
    let encoded = try EncodeText(
      tokenizer: tokenizer, inputs: [text], lines: false, beginOfSequence: false, specialTokens: false, threads: 1
    ).run(CommandSinks(stream: { streamed += $0 }))
    #expect(String(decoding: streamed, as: UTF8.self) == encoded.text)
    let ids = try write(encoded.text, "ids.jsonl")
    let decoded = try DecodeTokens(tokenizer: tokenizer, inputs: [ids], specialTokens: false, lines: false).run()
    #expect(decoded.text == String(repeating: "one two three ", count: 40))
    #expect(try object(decoded.document)["texts"]?.array?.first?.string == decoded.text)
  }

  @Test func aFailureThatHasAResultIsAMemberOfItsDocument() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    _ = try write("{", "dataset.json")
    let result = try ValidateData(datasets: [folder.path], threads: 1).run()
    #expect(result.failure?.code == .fileDamaged && result.exitCode == 64)
    let json = try object(result.document)
    #expect(json["sound"] == false && json["error"]?["code"]?.string == "file_damaged")
    #expect(json["error"]?["message"]?.string == result.failure?.description)
  }

  @Test func errorsHaveTheirCodes() {
    let none = #expect(throws: ForgeError.self) { try ListCheckpoints(directory: "/nowhere/at/all").run() }
    #expect(none?.code == .fileNotFound)
    let threads = #expect(throws: ForgeError.self) { try VerifyCheckpoints(source: "/", threads: 0).run() }
    #expect(threads?.code == .invalidArgument)
    let plan = #expect(throws: ForgeError.self) {
      try PlanRun(configuration: nil, overrides: ["run.stpes=1"], ranks: [1], request: .init()).run()
    }
    #expect(plan?.code == .unknownSetting && plan?.keyPath == "run.stpes" && plan?.hint == "did you mean 'steps'?")
  }
}
