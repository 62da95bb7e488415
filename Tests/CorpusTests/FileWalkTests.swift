import Foundation
import Testing

@testable import Corpus

@Suite struct FileWalkTests {
  private func walk(_ inputs: [String], below folder: String) throws -> [String] {
    try files(FileWalk(inputs: inputs)).map { String($0.string.dropFirst(folder.count + 1)) }
  }

  private func files(_ walk: FileWalk) -> [RawPath] {
    walk.compactMap { entry in
      switch entry {
      case .file(let path, _), .leftOut(let path, .unreadable): path
      case .leftOut: nil
      }
    }
  }

  @Test func ordersByNamesInEveryFolder() throws {
    try withTemporaryFolder { folder in
      try write(["b.txt": "", "a/z.txt": "", "a/Z/1": "", "c/d/e/f": "", "a.txt": ""], below: folder)
      #expect(try walk([folder], below: folder) == ["a/Z/1", "a/z.txt", "a.txt", "b.txt", "c/d/e/f"])
      #expect(try walk([folder + "/c", folder + "/a.txt"], below: folder) == ["c/d/e/f", "a.txt"])
    }
  }

  @Test func visitsNothingTwice() throws {
    try withTemporaryFolder { folder in
      try write(["a/file": "1", "b/other": "2"], below: folder)
      let manager = FileManager.default
      // A cycle, a second path to a folder and to a file, and a dangling link.
      try manager.createSymbolicLink(atPath: folder + "/a/up", withDestinationPath: folder)
      try manager.createSymbolicLink(atPath: folder + "/c", withDestinationPath: "b")
      try manager.createSymbolicLink(atPath: folder + "/d", withDestinationPath: "a/file")
      try manager.createSymbolicLink(atPath: folder + "/e", withDestinationPath: "nothing")
      #expect(try walk([folder], below: folder).filter { $0 != "e" }.sorted() == ["a/file", "b/other"])
      #expect(try walk([folder, folder], below: folder).last == "e")
    }
  }

  @Test func passesOverVersionControl() throws {
    try withTemporaryFolder { folder in
      try write([".git/config": "", "src/.svn/entries": "", "src/.hidden": ""], below: folder)
      #expect(try walk([folder], below: folder) == ["src/.hidden"])
    }
  }

  @Test func findsNamesThatAreNotUTF8() throws {
    try withTemporaryFolder { folder in
      let path = RawPath(folder).appending([0x66, 0xFF])
      let descriptor = open(path.cString, O_WRONLY | O_CREAT, 0o600)
      try #require(descriptor >= 0)
      close(descriptor)
      #expect(try files(FileWalk(inputs: [folder])) == [path])
    }
  }

  @Test func reportsMissingInput() {
    expectBadInput("/nowhere/at/all") { try FileWalk(inputs: ["/", "/nowhere/at/all"]) }
  }

  @Test func patternsFollowGitignore() throws {
    let rules = IgnoreRules(
      patterns: [
        "# no pattern", "*.log", "!keep.log", "/top", "build/", "a/**/z", "doc/*.txt", "x[0-9]", "\\#hash", "end\\ ",
      ])
    func ignored(_ path: String, isFolder: Bool = false) -> Bool? {
      rules.isIgnored(Array(path.utf8), isFolder: isFolder)
    }
    let yes = ["a.log", "b/c.log", "top", "a/z", "a/b/c/z", "doc/a.txt", "x7", "#hash", "end "]
    for path in yes { #expect(ignored(path) == true, "\(path)") }
    for path in ["b/top", "build", "doc/sub/a.txt", "xx", "z"] { #expect(ignored(path) == nil, "\(path)") }
    #expect(ignored("keep.log") == false)
    #expect(ignored("b/build", isFolder: true) == true)
  }
}
