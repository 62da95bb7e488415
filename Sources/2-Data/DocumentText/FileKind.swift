/// A file's format by its extension.
enum FileKind {
  case html
  case xhtml
  /// Plain text and source code: not taken for HTML or a notebook, whatever the contents look like.
  case text
  case jsonLines
  case notebook
  /// No known extension: the contents decide.
  case unknown

  /// From a file's name in lower case, without `.gz`.
  init(name: String) {
    // Mirrors of web sites keep the query of a URL in a file's name.
    let path = name.prefix { $0 != "?" }
    guard let dot = path.lastIndex(of: ".") else {
      self = .unknown
      return
    }
    switch path[path.index(after: dot)...] {
    case "html", "htm", "shtml": self = .html
    case "xhtml", "xht": self = .xhtml
    case "jsonl", "ndjson", "jsonlines": self = .jsonLines
    case "ipynb": self = .notebook
    case let ending: self = Self.texts.contains(String(ending)) ? .text : .unknown
    }
  }

  /// Extensions of text and source code. PHP's, ASP's and JSP's are not among them, because mirrors of web sites save
  /// pages under them; see ``HTMLSignature``.
  private static let texts = Set(
    """
    txt text md markdown mdown mkd rst rest adoc asciidoc asc tex latex bib log csv tsv json yaml yml toml ini cfg conf
    properties env xml xsl xslt xsd dtd svg rss atom rdf ttl plist po pot diff patch srt vtt ics vcf eml mbox
    c h cc cpp cxx hh hpp hxx inc m mm swift py pyi pyx pyw rb rs go java kt kts scala groovy gradle clj cljs ex exs erl
    hs lhs ml mli fs fsi fsx cs vb pas pp d nim zig v vhd vhdl sv svh asm s js mjs cjs jsx ts mts tsx vue svelte coffee
    css scss sass less lua pl pm t tcl r rmd jl f f77 f90 f95 f03 for sql sh bash zsh fish ksh bat cmd ps1 psm1 awk sed
    el lisp lsp scm rkt cl vim mk mak cmake make am ac in m4 proto thrift graphql gql tf hcl nix dockerfile org pod man
    ejs erb hbs mustache tmpl tpl j2 jinja jinja2 haml slim pug jade
    """.split(whereSeparator: \.isWhitespace).map(String.init))
}
