/// A Jupyter notebook's text as Markdown: its prose, and its code in fences, without outputs.
enum Notebook {
  private struct Cell {
    var kind = ""
    var source: [UInt8] = []
  }

  /// Whether bytes are a notebook, by the names of its members.
  static func isNotebook(_ bytes: [UInt8]) -> Bool {
    guard bytes.first(where: { !isWhitespace($0) }) == UInt8(ascii: "{"),
      let names = JSONScanner.memberNames(of: bytes)
    else { return false }
    return names.contains("nbformat") && (names.contains("cells") || names.contains("worksheets"))
  }

  /// A notebook's text; nil when it is damaged.
  static func text(of bytes: [UInt8]) -> DecodedText? {
    var replacements = 0
    var cells: [Cell] = []
    var language = "python"
    do {
      try bytes.withUnsafeBufferPointer { bytes in
        var scanner = JSONScanner(bytes)
        try scanner.readObject { name, scanner in
          switch name {
          case "cells": try readCells(&scanner, into: &cells)
          case "worksheets":
            try scanner.readArray { scanner in
              try scanner.readObject { name, scanner in
                guard name == "cells" else { return false }
                try readCells(&scanner, into: &cells)
                return true
              }
            }
          case "metadata": try readLanguage(&scanner, into: &language)
          default: return false
          }
          return true
        }
        guard scanner.peek() == nil else { throw JSONScanner.Malformed() }
        replacements = scanner.replacements
      }
    } catch {
      return nil
    }
    return DecodedText(bytes: markdown(of: cells, language: language), replacements: replacements)
  }

  private static func markdown(of cells: [Cell], language: String) -> [UInt8] {
    var text: [UInt8] = []
    for cell in cells {
      var source = cell.source[...]
      while let last = source.last, isWhitespace(last) { source.removeLast() }
      guard !source.isEmpty else { continue }
      if !text.isEmpty { text.append(UInt8(ascii: "\n")) }
      if cell.kind == "code" {
        text += "```\(language)\n".utf8 + source + "\n```\n".utf8
      } else {
        text += source + [UInt8(ascii: "\n")]
      }
    }
    return text
  }

  private static func readCells(_ scanner: inout JSONScanner, into cells: inout [Cell]) throws {
    try scanner.readArray { scanner in
      var cell = Cell()
      try scanner.readObject { name, scanner in
        switch name {
        case "cell_type":
          guard scanner.peek() == UInt8(ascii: "\"") else { return false }
          cell.kind = String(decoding: try scanner.readString(), as: UTF8.self)
        case "source", "input": cell.source = try readText(&scanner)
        default: return false
        }
        return true
      }
      cells.append(cell)
    }
  }

  /// Reads a string, or an array of its lines.
  private static func readText(_ scanner: inout JSONScanner) throws -> [UInt8] {
    if scanner.peek() == UInt8(ascii: "\"") { return try scanner.readString() }
    var text: [UInt8] = []
    try scanner.readArray { text += try $0.readString() }
    return text
  }

  /// Reads `language_info.name`, or `kernelspec.language`.
  private static func readLanguage(_ scanner: inout JSONScanner, into language: inout String) throws {
    try scanner.readObject { name, scanner in
      guard name == "language_info" || name == "kernelspec", scanner.peek() == UInt8(ascii: "{") else { return false }
      let key = name == "language_info" ? "name" : "language"
      try scanner.readObject { name, scanner in
        guard name == key, scanner.peek() == UInt8(ascii: "\"") else { return false }
        language = String(decoding: try scanner.readString(), as: UTF8.self)
        return true
      }
      return true
    }
  }
}
