import ArgumentParser
import Corpus

/// The options of commands that read documents.
struct ReadingArguments: ParsableArguments {
  @Option(
    parsing: .upToNextOption,
    help: "Files and folders to read; folders with all that is below them; - is standard input.")
  var input: [String]

  @Option(
    help: ArgumentHelp(
      "The encoding of text files that are neither UTF-8 nor UTF-16 by their mark, such as windows-1252 or gbk.",
      discussion: "Without it they are left out. Pages that name no encoding are read in it too.", valueName: "label"))
  var encoding: String?

  @Option(help: ArgumentHelp("The member of JSON Lines objects that holds the text.", valueName: "name"))
  var textField = "text"

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp("What not to read, in patterns as a .gitignore has them.", valueName: "pattern"))
  var exclude: [String] = []

  @Flag(help: "Read what .gitignore files name.")
  var noGitignore = false

  @Flag(help: "Fail when a text cannot be read exactly as it was written.")
  var strict = false

  var options: ReadingOptions {
    ReadingOptions(
      encoding: encoding, textField: textField, exclude: exclude, readsGitignore: !noGitignore, isStrict: strict)
  }
}
