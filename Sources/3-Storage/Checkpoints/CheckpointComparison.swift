import Formats
import Foundation
import Support

/// The differences between two checkpoints.
public struct CheckpointComparison: Sendable {
  public struct Change: Sendable {
    public var tensor: String
    /// Elements whose bits differ, and all elements.
    public var differing: Int
    public var count: Int
    /// The max absolute difference; NaN when a differing element is NaN.
    public var largest: Double
  }

  public struct Entry: Sendable {
    /// `settings.run.seed`
    public var key: String
    public var first: JSONValue?
    public var second: JSONValue?
  }

  public private(set) var steps: (first: Int, second: Int)
  public private(set) var onlyInFirst: [TensorDescription] = []
  public private(set) var onlyInSecond: [TensorDescription] = []
  /// Tensors of another shape or number format.
  public private(set) var reshaped: [(first: TensorDescription, second: TensorDescription)] = []
  public private(set) var changed: [Change] = []
  public private(set) var equalTensors = 0
  public private(set) var metadata: [Entry] = []

  public var isEqual: Bool {
    steps.first == steps.second && onlyInFirst.isEmpty && onlyInSecond.isEmpty && reshaped.isEmpty && changed.isEmpty
      && metadata.isEmpty
  }

  private static let blockElements = 1 << 20

  /// Compares two checkpoints block by block; each chunk is verified.
  ///
  /// - Throws: `ForgeError.badInput` when one of them is damaged.
  public init(_ first: CheckpointReader, _ second: CheckpointReader, threads: Int = 1) throws {
    steps = (first.step, second.step)
    onlyInFirst = first.tensors.filter { second[$0.name] == nil }
    onlyInSecond = second.tensors.filter { first[$0.name] == nil }
    let buffers = (GrowingBuffer(), GrowingBuffer())
    for tensor in first.tensors {
      guard let other = second[tensor.name] else { continue }
      guard other == tensor else {
        reshaped.append((tensor, other))
        continue
      }
      var change = Change(tensor: tensor.name, differing: 0, count: tensor.elementCount, largest: 0)
      let block = Self.blockElements * threads
      for start in stride(from: 0, to: tensor.elementCount, by: block) {
        let range = start..<min(start + block, tensor.elementCount)
        let left = buffers.0.grown(to: range.count * tensor.dtype.width)
        let right = buffers.1.grown(to: range.count * tensor.dtype.width)
        try first.read(tensor: tensor.name, elements: range, into: left, threads: threads)
        try second.read(tensor: tensor.name, elements: range, into: right, threads: threads)
        change.add(UnsafeRawBufferPointer(left), UnsafeRawBufferPointer(right), tensor.dtype)
      }
      if change.differing > 0 { changed.append(change) } else { equalTensors += 1 }
    }
    let (left, right) = (first.metadata.leaves, second.metadata.leaves)
    metadata = Set(left.keys).union(right.keys).sorted().filter { left[$0] != right[$0] }.map {
      Entry(key: $0, first: left[$0], second: right[$0])
    }
  }
}

extension CheckpointComparison.Change {
  fileprivate mutating func add(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer, _ dtype: ElementType) {
    switch dtype {
    case .f64: add(left, right) { (bits: UInt64) in Double(bitPattern: bits) }
    case .f32: add(left, right) { (bits: UInt32) in Double(Float(bitPattern: bits)) }
    case .f16: add(left, right) { (bits: UInt16) in Double(floatFromFloat16(bits)) }
    case .bf16: add(left, right) { (bits: UInt16) in Double(floatFromBFloat16(bits)) }
    case .i64: add(left, right) { (value: Int64) in Double(value) }
    case .i32: add(left, right) { (value: Int32) in Double(value) }
    case .i16: add(left, right) { (value: Int16) in Double(value) }
    case .i8: add(left, right) { (value: Int8) in Double(value) }
    case .u64: add(left, right) { (value: UInt64) in Double(value) }
    case .u32: add(left, right) { (value: UInt32) in Double(value) }
    case .u16: add(left, right) { (value: UInt16) in Double(value) }
    case .u8: add(left, right) { (value: UInt8) in Double(value) }
    }
  }

  private mutating func add<Word: FixedWidthInteger>(
    _ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer, _ value: (Word) -> Double
  ) {
    let (left, right) = (left.bindMemory(to: Word.self), right.bindMemory(to: Word.self))
    for index in left.indices where left[index] != right[index] {
      differing += 1
      let difference = abs(value(left[index]) - value(right[index]))
      // NaN is kept.
      if !(difference <= largest), !largest.isNaN { largest = difference }
    }
  }
}

extension JSONValue {
  /// All values but objects, by their paths: `settings.run.seed`.
  public var leaves: [String: JSONValue] {
    guard case .object(let members) = self else { return self == .null ? [:] : ["": self] }
    var result: [String: JSONValue] = [:]
    for (key, member) in members {
      guard case .object = member else {
        result[key] = member
        continue
      }
      for (rest, value) in member.leaves { result["\(key).\(rest)"] = value }
    }
    return result
  }

  /// JSON text; a string without quotes.
  public var text: String {
    if case .string(let text) = self { return text }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return (try? encoder.encode([self])).map { String(decoding: $0.dropFirst().dropLast(), as: UTF8.self) } ?? ""
  }
}
