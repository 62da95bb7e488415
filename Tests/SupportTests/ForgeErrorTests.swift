import Foundation
import Support
import Testing

@Suite struct ForgeErrorTests {
  @Test func codesAreUniqueAndInSnakeCase() {
    let codes = ForgeError.Code.allCases.map(\.rawValue)
    #expect(Set(codes).count == codes.count)
    for code in codes { #expect(code.wholeMatch(of: /[a-z]+(_[a-z]+)*/) != nil, "\(code)") }
  }

  @Test func theSentenceIsTheProblemAndTheHint() {
    let plain = ForgeError.badInput("x is missing", code: .fileNotFound)
    #expect(plain.description == "x is missing" && plain.hint == nil && plain.keyPath == nil)
    #expect(plain.kind == .badInput && plain.exitCode == 64 && plain.code == .fileNotFound)
    let hinted = ForgeError.tryAgain("the disk is full", hint: "make room", code: .diskFull, keyPath: "run.directory")
    #expect(hinted.description == "the disk is full; make room" && hinted.hint == "make room")
    #expect(hinted.exitCode == 75 && hinted.keyPath == "run.directory")
    let joined = ForgeError.badInput("the path is not UTF-8", hint: "rename it", after: ": ", code: .invalidArgument)
    #expect(joined.description == "the path is not UTF-8: rename it" && joined.hint == "rename it")
    let whole = ForgeError(.badInput, sentence: "nothing (try more)", hint: "try more", code: .emptyInput, keyPath: nil)
    #expect(whole.description == "nothing (try more)" && whole.hint == "try more")
  }

  @Test func everyFieldIsOneLine() {
    let error = ForgeError.badInput("a\nb", hint: "c\u{1B}d", code: .malformedFile, keyPath: "e\tf")
    #expect(
      error.description == "a\u{FFFD}b; c\u{FFFD}d" && error.hint == "c\u{FFFD}d" && error.keyPath == "e\u{FFFD}f")
  }

  @Test func whatIsToldElsewhereKeepsItsFields() {
    let error = ForgeError.tryAgain("cannot read 'x'", hint: "wait", code: .fileUnreadable)
    let told = error.reworded(as: .badInput, "checkpoint.local cannot be used: ", keyPath: "checkpoint.local")
    #expect(told.description == "checkpoint.local cannot be used: cannot read 'x'; wait")
    #expect(told.kind == .badInput && told.code == .fileUnreadable && told.hint == "wait")
    #expect(told.keyPath == "checkpoint.local")
    #expect(ForgeError.bug(error).code == .fileUnreadable, "an error of ours stays what it is")
    #expect(ForgeError.bug(CancellationError()).code == .internalError)
  }

  @Test(arguments: [
    (ENOSPC, ForgeError.Code.diskFull), (EDQUOT, .diskFull), (ENOENT, .fileNotFound), (EACCES, .permissionDenied),
    (EROFS, .permissionDenied), (EEXIST, .fileExists), (ENOMEM, .outOfMemory), (EIO, .writeFailed),
  ]) func systemCallsHaveCodes(number: Int32, code: ForgeError.Code) {
    #expect(ForgeError.Code.system(number, else: .writeFailed) == code)
    errno = number
    let error = systemError("write", "x")
    #expect(error.code == code && error.kind == .tryAgain)
    #expect(error.description == "cannot write 'x': \(String(cString: strerror(number)))")
  }

  @Test func readingFailsWithAnotherCodeThanWriting() {
    errno = EIO
    #expect(systemError("read", "x").code == .fileUnreadable)
  }

  @Test func foundationsErrorsHaveCodes() {
    do {
      _ = try Data(contentsOf: URL(filePath: "/nowhere/at/all"))
      Issue.record("there is such a file")
    } catch {
      #expect(ForgeError.Code.system(error, else: .fileUnreadable) == .fileNotFound)
      #expect(systemReason(of: error) == "No such file or directory")
    }
  }

  @Test func theReportIsOneLineOfJSON() throws {
    let error = ForgeError.badInput(
      "run.yaml:3: unknown key 'run.stpes'", hint: "did you mean 'steps'?", code: .unknownSetting, keyPath: "run.stpes")
    let expected = """
      {"error": {"code": "unknown_setting", "message": "run.yaml:3: unknown key 'run.stpes'; did you mean 'steps'?", \
      "key_path": "run.stpes", "hint": "did you mean 'steps'?", "exit_code": 64}}
      """
    #expect(ErrorReport(error).document.text == expected)
    let bare = ErrorReport(code: .rankFailed, message: "MPI_Bcast failed", exitCode: 75).document.text
    #expect(bare.contains(#""key_path": null, "hint": null, "exit_code": 75"#))
  }

  @Test func jsonIsAskedForBeforeTheEndOfOptions() {
    #expect(ErrorReport.isRequested(by: ["runs", "--json"]))
    #expect(!ErrorReport.isRequested(by: ["runs", "--", "--json"]) && !ErrorReport.isRequested(by: ["runs"]))
  }
}
