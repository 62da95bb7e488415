import Foundation
import Testing

@testable import Checkpoints

/// Files that are written and read past the page cache, on a disk and, where the system has one, in memory.
@Suite struct DirectAccessTests {
  private let bytes = (0..<(3 << 20) + 17).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 13) }

  @Test(arguments: [false, true]) func aFileIsWhatWasAppended(isInMemory: Bool) throws {
    let folder = try TestFolder(isInMemory: isInMemory)
    for (blockBytes, count) in [
      (8192, 0), (8192, 4095), (8192, 8192), (4096, 99_999), (1 << 20, 3 << 20), (1000, 7001),
    ] {
      let file = try SequentialFile(path: folder.path + "/file", files: PosixFiles(), blockBytes: blockBytes)
      try bytes[..<count].withUnsafeBytes { bytes in
        for start in stride(from: 0, to: count, by: 1777) {
          try file.append(UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + 1777, count)]))
        }
      }
      #expect(file.end == count)
      try file.finish()
      let found = try Data(contentsOf: URL(fileURLWithPath: file.path))
      #expect(found == Data(bytes[..<count]), "\(count) bytes in blocks of \(blockBytes)")
    }
  }

  @Test(arguments: [false, true]) func aPartIsReadFromAnyPlace(isInMemory: Bool) throws {
    let folder = try TestFolder(isInMemory: isInMemory)
    try Data(bytes).write(to: URL(fileURLWithPath: folder.path + "/file"))
    let file = try ShardFile(path: folder.path + "/file", isLarge: true)
    let memory = GrowingBuffer()
    for (offset, count) in [(0, 4096), (1, 300_000), (4095, 2 << 20), (8192, 1 << 20), (17, 3 << 20), (100, 5)] {
      let found = try file.read(count, at: offset, in: memory)
      #expect(Array(found) == Array(bytes[offset..<offset + count]), "\(count) bytes at \(offset)")
    }
    for count in [100, 1 << 20] {
      #expect(throws: FormatError.self) { try file.read(count, at: bytes.count - count + 1, in: memory) }
    }
  }
}
