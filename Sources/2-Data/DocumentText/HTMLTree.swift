import CGumbo
import Glibc

typealias HTMLNode = UnsafePointer<GumboNode>

/// A page's parse tree, built by Gumbo by the HTML standard's rules.
///
/// All of it is in one arena, which is freed as a whole, without walking the tree.
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
    // Gumbo reads a few bytes beyond the end of its input.
    let padded = html + [UInt8](repeating: 0, count: 64)
    // The tree has pointers into the text, which is therefore in the arena too.
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

/// A bump allocator whose memory is freed as a whole.
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
