/// A token or a key quoted for messages: on one line, and at most 60 characters of it.
func shown(_ text: String) -> String {
  let longest = 60
  var result = ""
  for scalar in text.unicodeScalars.prefix(longest) {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .unassigned, .privateUse:
      result += "\\u{\(String(scalar.value, radix: 16))}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return "'\(result)\(text.unicodeScalars.count > longest ? "…" : "")'"
}
