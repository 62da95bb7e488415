import Testing

@testable import DocumentText

@Suite struct HTMLTextTests {
  private func text(_ body: String) throws -> String {
    let page = Array("<!DOCTYPE html><html><body>\(body)</body></html>".utf8)
    return String(decoding: try HTMLText.extract(from: page).bytes, as: UTF8.self)
  }

  @Test(arguments: [
    // Blocks and white space.
    ("<h1>Title</h1><p>One\n  <b>two</b><br>three</p><p>four</p>", "Title\n\nOne two\nthree\n\nfour\n"),
    ("<div>a<div>b</div></div>c", "a\nb\nc\n"),
    ("a<i> b</i> c&nbsp;d", "a b c d\n"),
    // Entities.
    ("&lt;tag&gt; &amp; &eacute;&#8364;&mdash;&copy;", "<tag> & é€—©\n"),
    // What is not read.
    ("a<script>if (x < 1) alert()</script><style>p {}</style>b", "ab\n"),
    ("<p>a</p><nav>menu</nav><div role=navigation>up</div><p>b</p>", "a\n\nb\n"),
    ("<h2>Title<a class='headerlink x' href='#t'>¶</a></h2>", "Title\n"),
    // Preformatted text.
    ("x<pre>\n  if a:\n\n    b\n\n</pre>y", "x\n\n  if a:\n\n    b\n\ny\n"),
    ("<pre><span>let</span> <b>a</b>\n  b</pre>", "let a\n  b\n"),
    // Lists.
    ("<ul><li>a</li><li><p>b</p><ol><li>c</li><li>d</li></ol></li></ul>e", "- a\n- b\n\n  1. c\n  2. d\n\ne\n"),
    ("<dl><dt>term</dt><dd>meaning</dd></dl>", "term\nmeaning\n"),
    // Tables: data keeps its rows, layout falls apart into its blocks.
    (
      "<table><tr><th>a<th>b</tr><tr><td><p>1</p><p>2</p></td><td>3</td></tr><tr><td></td><td>4</td></tr></table>",
      "a | b\n1 2 | 3\n | 4\n"
    ),
    ("<table><tr><td></td><td></td></tr><tr><td>x</td></tr></table>", "x\n"),
    ("<table><tr><td>1\n2</td><td><pre>a\nb</pre></td></tr></table>", "1 2\n\na\nb\n"),
    // Broken markup.
    ("<p>a<p>b<b>c", "a\n\nbc\n"),
    ("a<table>b<tr><td>c</table>d", "ab\n\nc\n\nd\n"),
    ("&am<!-- -->p; x<pre><!-- -->\ny</pre>", "&amp; x\n\n\ny\n"),
    ("<b>a<p>b</b>c</p><i>d<table><tr><td>e</i>f</table>", "a\n\nbc\n\nd\n\nef\n"),
    ("", ""),
  ])
  func laysOut(body: String, expected: String) throws {
    #expect(try text(body) == expected)
  }

  @Test func takesUTF8AsSuchAndOtherEncodingsAsDeclared() throws {
    let declared = "<html><head><meta charset=\"iso-8859-1\"></head><body>é</body></html>"
    #expect(try HTMLText.extract(from: Array(declared.utf8)).bytes == Array("é\n".utf8))
    let latin = declared.unicodeScalars.map { UInt8($0.value) }
    #expect(try HTMLText.extract(from: latin).bytes == Array("é\n".utf8))
  }

  @Test func readsPagesOfAnyDepth() throws {
    let depth = 3_000
    let page = String(repeating: "<div>", count: depth) + "deep" + String(repeating: "</div>", count: depth)
    #expect(try text(page + "<p>after") == "deep\n\nafter\n")
  }

  @Test func keepsBlocksApartThatAreTooDeep() throws {
    let depth = 600
    let page = String(repeating: "<div>", count: depth) + "<p>a</p><p>b</p>" + String(repeating: "</div>", count: depth)
    #expect(try text(page + "c") == "a\nb\nc\n")
  }

  @Test func opensFormattingAgainOnlySoOften() throws {
    let page = (0..<5_000).map { "<p><b id=\($0)>\($0)" }.joined()
    #expect(try text(page) == (0..<5_000).map(String.init).joined(separator: "\n\n") + "\n")
  }
}
