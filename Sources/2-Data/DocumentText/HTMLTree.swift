import CGumbo
import Glibc

typealias HTMLNode = UnsafePointer<GumboNode>

/// A page's tree by the HTML standard's parsing, made by Gumbo.
///
/// All of it is in one arena: nothing is freed before the end, and then at once, without walking the tree.
final class HTMLTree {
  private let arena: UnsafeMutablePointer<Arena>
  let root: HTMLNode?

  /// Parses UTF-8.
  init(parsing html: [UInt8]) {
    arena = .allocate(capacity: 1)
    arena.initialize(to: Arena())
    var options = kGumboDefaultOptions
    options.userdata = UnsafeMutableRawPointer(arena)
    options.allocator = { arena, size in arena?.assumingMemoryBound(to: Arena.self).pointee.allocate(size) }
    options.deallocator = { _, _ in }
    options.max_errors = 0
    // Gumbo looks a few bytes beyond the end of what it is given.
    let padded = html + [UInt8](repeating: 0, count: 64)
    // The tree holds places in the text as well, which is therefore in the arena too.
    let text = arena.pointee.allocate(padded.count)
    padded.withUnsafeBytes { text.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(text), byteCount: $0.count) }
    let output = gumbo_parse_with_options(&options, text.assumingMemoryBound(to: CChar.self), html.count)
    root = output?.pointee.root.map { HTMLNode($0) }
  }

  deinit {
    arena.pointee.free()
    arena.deallocate()
  }
}

/// Memory that is handed out piece by piece and freed at once.
private struct Arena {
  private var blocks: [UnsafeMutableRawPointer] = []
  private var next = UnsafeMutableRawPointer(bitPattern: 16)
  private var left = 0
  private var blockSize = 1 << 18

  mutating func allocate(_ size: Int) -> UnsafeMutableRawPointer {
    let size = (max(size, 1) + 15) & ~15
    if size > left { grow(for: size) }
    guard let place = next else { preconditionFailure("the arena has no block") }
    next = place + size
    left -= size
    return place
  }

  mutating func free() {
    for block in blocks { Glibc.free(block) }
    blocks = []
  }

  private mutating func grow(for size: Int) {
    left = max(size, blockSize)
    blockSize = min(2 * blockSize, 1 << 24)
    guard let block = malloc(left) else { preconditionFailure("out of memory") }
    blocks.append(block)
    next = block
  }
}
