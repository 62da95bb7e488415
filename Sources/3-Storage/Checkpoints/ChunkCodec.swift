import CZstd
import Support

/// The encoder of chunks: byte planes, zstd and SHA-256. It reuses its buffers, so use one per thread.
final class ChunkEncoder {
  /// The max compression ratio (compressed / raw) to store a plane compressed; above it, decompression is not worth it.
  private static let worthwhile = 0.97
  private static let sampleParts = 4
  private static let samplePartLength = 4096

  private let context: OpaquePointer
  private let planeBytes: UnsafeMutableBufferPointer<UInt8>
  /// The zstd frames, contiguous.
  private let frameBytes: UnsafeMutableBufferPointer<UInt8>
  private let sample: UnsafeMutableBufferPointer<UInt8>

  /// The result of the last ``encode(_:width:)``: each plane's stored bytes, and the hash of all of them.
  private(set) var planes: [UnsafeRawBufferPointer] = []
  private(set) var sha256 = ""

  /// - Parameters:
  ///   - level: the zstd compression level; negative ones are faster.
  ///   - chunkBytes: the max raw bytes of a chunk.
  init(level: Int, chunkBytes: Int) {
    guard let context = ZSTD_createCCtx() else {
      endProcess(.tryAgain("there is no memory left for a zstd context", code: .outOfMemory))
    }
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(level))
    _ = forge_zstd_always_code_literals(context)  // on an error only the ratio is worse
    self.context = context
    planeBytes = .allocate(capacity: chunkBytes)
    // The last plane may be incompressible, and its frame needs the bound's room.
    frameBytes = .allocate(capacity: chunkBytes + ZSTD_compressBound(chunkBytes))
    sample = .allocate(capacity: ZSTD_compressBound(Self.sampleParts * Self.samplePartLength))
  }

  deinit {
    ZSTD_freeCCtx(context)
    planeBytes.deallocate()
    frameBytes.deallocate()
    sample.deallocate()
  }

  func encode(_ bytes: UnsafeRawBufferPointer, width: Int) {
    guard let source = bytes.baseAddress, let split = planeBytes.baseAddress else { return }
    let count = bytes.count / width
    BytePlanes.split(source, width: width, count: count, into: split)
    planes.removeAll(keepingCapacity: true)
    var room = UnsafeMutableRawBufferPointer(frameBytes)
    var hash = SHA256()
    for index in 0..<width {
      let plane = UnsafeRawBufferPointer(start: split + index * count, count: count)
      let frame = compress(plane, into: room)
      room = UnsafeMutableRawBufferPointer(rebasing: room[(frame?.count ?? 0)...])
      planes.append(frame ?? plane)
      hash.update(frame ?? plane)
    }
    sha256 = hash.finalize().hexadecimal
  }

  /// Compresses a plane to a zstd frame; nil when the plane should be stored raw.
  private func compress(
    _ plane: UnsafeRawBufferPointer, into room: UnsafeMutableRawBufferPointer
  ) -> UnsafeRawBufferPointer? {
    guard sampleCompresses(plane) else { return nil }
    let size = ZSTD_compress2(context, room.baseAddress, room.count, plane.baseAddress, plane.count)
    precondition(ZSTD_isError(size) == 0, "zstd refuses a plane although there is room for it")
    guard Double(size) <= Self.worthwhile * Double(plane.count) else { return nil }
    return UnsafeRawBufferPointer(rebasing: room[..<size])
  }

  /// Tests compressibility on samples of 16 KiB of a long plane, so that mantissas cost no more than that.
  private func sampleCompresses(_ plane: UnsafeRawBufferPointer) -> Bool {
    let parts = Self.sampleParts
    let sampleLength = parts * Self.samplePartLength
    guard plane.count > 4 * sampleLength else { return true }
    return withUnsafeTemporaryAllocation(byteCount: sampleLength, alignment: 1) { gathered in
      for part in 0..<parts {
        let start = part * (plane.count - Self.samplePartLength) / (parts - 1)
        let target = UnsafeMutableRawBufferPointer(rebasing: gathered[(part * Self.samplePartLength)...])
        target.copyMemory(from: UnsafeRawBufferPointer(rebasing: plane[start..<start + Self.samplePartLength]))
      }
      let size = ZSTD_compress2(context, sample.baseAddress, sample.count, gathered.baseAddress, sampleLength)
      return Double(size) <= Self.worthwhile * Double(sampleLength)
    }
  }
}

/// The decoder of chunks: verifies the stored bytes and decodes them to elements. Use one per thread.
final class ChunkDecoder {
  private let context: OpaquePointer
  private var scratch: [UInt8] = []

  init() {
    guard let context = ZSTD_createDCtx() else {
      endProcess(.tryAgain("there is no memory left for a zstd context", code: .outOfMemory))
    }
    self.context = context
  }

  deinit { ZSTD_freeDCtx(context) }

  static func verify(_ stored: UnsafeRawBufferPointer, against chunk: ChunkRecord) throws(FormatError) {
    var hash = SHA256()
    hash.update(stored)
    guard hash.finalize().hexadecimal == chunk.sha256 else { throw FormatError("its bytes do not match their SHA-256") }
  }

  /// Decodes a chunk to `chunk.rawLength` bytes at `destination`, which is aligned for the element type.
  func decode(
    _ stored: UnsafeRawBufferPointer, of chunk: ChunkRecord, into destination: UnsafeMutableRawPointer
  ) throws(FormatError) {
    if scratch.count < chunk.rawLength { scratch = [UInt8](repeating: 0, count: chunk.rawLength) }
    let isSound = scratch.withUnsafeMutableBufferPointer { scratch in
      guard let source = stored.baseAddress, let unpacked = scratch.baseAddress else { return false }
      var planes: [UnsafePointer<UInt8>] = []
      var offset = 0
      for (index, length) in chunk.planes.enumerated() {
        let input = source + offset
        offset += length
        if length == chunk.count {
          planes.append(input.assumingMemoryBound(to: UInt8.self))
        } else {
          let output = unpacked + index * chunk.count
          guard ZSTD_decompressDCtx(context, output, chunk.count, input, length) == chunk.count else { return false }
          planes.append(UnsafePointer(output))
        }
      }
      BytePlanes.join(planes, count: chunk.count, into: destination)
      return true
    }
    guard isSound else { throw FormatError("one of its planes does not decompress") }
  }
}
