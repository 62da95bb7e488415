import CZlib

/// Decompression of gzip files.
enum Gzip {
  enum Failure: Error {
    case damaged
    case tooLarge
  }

  static let magic: [UInt8] = [0x1F, 0x8B]

  /// Decompresses all members of a gzip file and concatenates them, as `gunzip` does.
  static func decompress(_ compressed: [UInt8], maximumByteCount: Int) throws(Failure) -> [UInt8] {
    var stream = z_stream()
    let gzipWindowBits: Int32 = 15 + 16
    let version = zlibVersion()
    guard inflateInit2_(&stream, gzipWindowBits, version, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
      throw .damaged
    }
    defer { inflateEnd(&stream) }
    var result: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 1 << 16)
    var position = 0
    while true {
      let (status, consumed, produced) = inflateOnce(&stream, from: compressed[position...], into: &block)
      position += consumed
      result += block[..<produced]
      guard result.count <= maximumByteCount else { throw .tooLarge }
      switch status {
      case Z_OK: continue
      case Z_STREAM_END where compressed[position...].starts(with: magic): inflateReset(&stream)
      // Whatever follows the last member is padding, which gunzip ignores too.
      case Z_STREAM_END: return result
      default: throw .damaged
      }
    }
  }

  private static func inflateOnce(
    _ stream: inout z_stream, from input: ArraySlice<UInt8>, into output: inout [UInt8]
  ) -> (status: Int32, consumed: Int, produced: Int) {
    input.withUnsafeBufferPointer { input in
      output.withUnsafeMutableBufferPointer { output in
        stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
        stream.avail_in = uInt(clamping: input.count)
        stream.next_out = output.baseAddress
        stream.avail_out = uInt(output.count)
        let available = Int(stream.avail_in)
        let status = inflate(&stream, Z_NO_FLUSH)
        return (status, available - Int(stream.avail_in), output.count - Int(stream.avail_out))
      }
    }
  }
}
