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
    // Shadow roots, where the DOM standard has them; slots.
    ("<a><template shadowrootmode=open>n</template>S</a>", "S\n"),
    ("<ul><template shadowrootmode=open>n</template><li>a</ul>", "- a\n"),
    ("<font-face><template shadowrootmode=open>n</template>S</font-face>", "S\n"),
    ("<math><template shadowrootmode=open>n</template></math>S", "S\n"),
    ("<main><template shadowrootmode=open>m(<slot></slot>)</template>L</main>", "m(L)\n"),
    (
      "<x-a><template shadowrootmode=open><slot name=a></slot>|<slot name=a>b</slot></template><i slot=a>one</i></x-a>",
      "one|b\n"
    ),
    ("<x-a><template shadowrootmode=open><p hidden><slot></slot></p><slot>f</slot></template>x</x-a>", "f\n"),
    // References beyond Unicode; control characters.
    ("x &#2147483648; y &#4294967295; z &#x110000;&#9999999999999999999999 &#0000000000065;", "x � y � z �� A\n"),
    ("<xmp>&#2147483648;</xmp>", "&#2147483648;\n"),
    ("a\u{85}b\u{1}c\u{B}d&#11;e\u{7F}", "a\u{85}b\u{1}c\u{B}d\u{B}e\u{7F}\n"),
    ("a\u{85}b\u{10F885}c", "ab\u{10F885}c\n"),
    // Visibility is inherited, and leaves its place empty.
    ("<div style='visibility:hidden'>a<b style='visibility:visible'>S</b>c</div>d", "S\nd\n"),
    ("<ol><li>a<li style='visibility:hidden'>h<li>c</ol>", "1. a\n3. c\n"),
    ("<table><tr><td>a<td style='visibility:hidden'>h<td>c</table>", "a | | c\n"),
    ("1<i style='visibility:hidden'>x</i>2 7<sup><i style='visibility:hidden'>2</i></sup>8", "1 2 7 8\n"),
    // Elements that Gumbo does not support.
    ("<p>In<dialog><p>n</p><p>n</p></dialog>S<dialog open><p>a</p>b</dialog>", "In\n\nS\n\na\n\nb\n"),
    ("<p>q<search>b<p>r</search>s", "q\n\nb\n\nr\n\ns\n"),
    ("<span>a<main hidden>b</span>n</main>S", "aS\n"),
    // Notations.
    ("10<i style='vertical-align:super'>23</i> 5<i style='vertical-align: sub'>2</i>", "10^23 5_2\n"),
    ("1<button>x</button>2<svg></svg>3<img src=x>4<input>5<input type=hidden>6<i hidden>x</i>7", "1 2 3 4 567\n"),
    ("a<nav>x</nav>b1<i style='display:block'>2</i>3<pre>4<canvas></canvas>5</pre>", "a\nb1\n2\n3\n\n4 5\n"),
    ("<ruby>a<rtc>b</rtc></ruby> <ruby>a<rtc><rt>b</rt></rtc></ruby>", "a(b) a(b)\n"),
    // Lists.
    ("<ol reversed><div><li>x</div><li hidden>h<li>y<ol><li>q</ol></ol>", "2. x\n1. y\n  1. q\n"),
    ("<ol start=2147483648><li>a<li value=9999999999>b<li value=-2147483648>c</ol>", "1. a\n2. b\n-2147483648. c\n"),
    (
      "<ol style='list-style:lower-greek' start=24><li>a<li>b</ol><ol style='list-style-type:decimal-leading-zero'><li>c",
      "ω. a\nαα. b\n\n01. c\n"
    ),
    ("<ul start=4 style='list-style-type:decimal'><li>a</ul>", "1. a\n"),
  ])
  func laysOut(body: String, expected: String) throws {
    #expect(try text(body) == expected)
  }

  @Test(arguments: [
    "display:none", "/*x*/display:none", "color:red;/* ; */display:none", "DISPLAY : NONE", "x:y;;display:none\n;",
    "display:none !important;display:block", "display:none!IMPORTANT;display:block", "display:none;display:foo",
    "display:none;display:none block", "d\\isplay:none", "\\64 isplay:none", "displ&#97;y:none", "display:none;color:(",
    "content:&quot;y&quot;;display:none", "font:'a';display:none", "@x{;display:block};display:none",
    "content-visibility:hidden", "a:b;" + String(repeating: "c:d;", count: 1500) + "display:none",
  ])
  func hidesByStyle(style: String) throws {
    #expect(try text("a<p style=\"\(style)\">hidden</p>") == "a\n")
  }

  @Test(arguments: [
    "display:none;display:block", "display:none;display:var(--x)", "display:none block", "content:'display:none'",
    "content:';display:none'", "background:url(a;display:none)", "background:x(a;display:none)", "display:none!x",
    "display:none!important;display:block!important", "dis/**/play:none", "opacity:0", "--display:none",
    "{;display:none}",
  ])
  func showsDespiteStyle(style: String) throws {
    #expect(try text("<p style=\"\(style)\">shown</p>") == "shown\n")
  }

  @Test(arguments: [
    ("<mn>1</mn><mfrac><mn>1</mn><mn>2</mn></mfrac><mn>3</mn><mn>4</mn><mspace/><mn>5</mn>", "1 1/2 3 4 5"),
    ("<mn>10</mn><msup><mn>10</mn><mn>23</mn></msup><mn>5</mn>", "10 10^23 5"),
    ("<mi>a</mi><mfrac><mi>b</mi><mi>c</mi></mfrac><mi>d</mi>", "a b/c d"),
    (
      "<mn>2</mn><mmultiscripts><mi>C</mi><mn>6</mn><none/><mprescripts/><mn>12</mn><mn>14</mn></mmultiscripts>",
      "2 _12^14C_6"
    ),
    (
      "<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr><mtr><mtd><mn>3</mn></mtd></mtr></mtable>",
      "1, 2; 3"
    ),
    ("<mroot><mi>x</mi><mn>3</mn></mroot><msqrt><mi>a</mi><mo>+</mo><mn>1</mn></msqrt>", "√[3]x√(a+1)"),
    ("<mfenced><mn>1</mn><mn>2</mn></mfenced>", "(1, 2)"),
    (
      "<mfenced open='[' close=']' separators=';|'><mn>1</mn><mn>2</mn><mn>3</mn><mn>4</mn></mfenced>", "[1; 2| 3| 4]"
    ),
    ("<msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup><mn>3</mn>", "x_1^2 3"),
    (
      "<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mn>10</mn></munderover><mn>5</mn>",
      "∑_{i=1}^10 5"
    ),
  ])
  func writesFormulasInALine(formula: String, expected: String) throws {
    #expect(try text("<math>\(formula)</math>") == expected + "\n")
  }

  @Test func keepsNoncharacters() throws {
    let characters: [UInt8] = [
      0xEF, 0xB7, 0x90, 0xEF, 0xBF, 0xBF, 0xF0, 0x9F, 0xBF, 0xBE, 0xF4, 0x8F, 0xBF, 0xBF, 0x61,
    ]
    #expect(try HTMLText.extract(from: characters).bytes == characters + [0x0A])
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
